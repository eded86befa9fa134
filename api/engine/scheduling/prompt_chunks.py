"""How many rows each prompt that is being prefilled gets in the next step."""

from __future__ import annotations

from collections.abc import Callable, Container
from collections.abc import Sequence as Items

from api.engine.budget.step_budget import StepBudget
from api.engine.sequences.sequence import Sequence


def choose_chunks(
    prefilling: Items[Sequence],
    num_decode_rows: int,
    budget: StepBudget,
    tokens_to_stop: Callable[[Sequence], int],
    now_seconds: float,
    waiting_ids: Container[int] = (),
) -> list[tuple[Sequence, int]]:
    """Chunks of ``prefilling``, in this order, within the budget of a step that has so many other rows.

    ``tokens_to_stop``: where a sequence's chunk has to end at the latest. ``waiting_ids``: of the sequences
    whose last token waits.
    """
    waits = [(_num_tokens(s), now_seconds - s.admitted_seconds) for s in prefilling]
    line = budget.line(waits, num_decode_rows)
    rooms: dict[int, int] = {}  # by context; newcomers have none and share theirs
    left = 1.0  # of the budget, which is fewer rows for a prompt with more behind it
    scorable = budget.max_scored_rows
    chosen = []
    for sequence in prefilling:
        context = sequence.num_computed
        if context not in rooms:
            rooms[context] = budget.num_prompt_rows(num_decode_rows, context, line)
        num_wanted = sequence.num_remaining - (sequence.sequence_id in waiting_ids)
        if num_wanted == 0:
            continue
        num_rows = min(num_wanted, round(left * rooms[context]), tokens_to_stop(sequence))
        if num_rows <= 0:
            break
        num_rows = sequence.rows_within(num_rows, scorable)
        if num_rows == 0:  # the next one may want no logprobs
            continue
        scorable -= len(sequence.scored_positions(num_rows))
        chosen.append((sequence, num_rows))
        left -= num_rows / rooms[context]
    return chosen


def _num_tokens(sequence: Sequence) -> int:
    """What it had to prefill when it came into the batch."""
    return sequence.num_known - sequence.num_copied
