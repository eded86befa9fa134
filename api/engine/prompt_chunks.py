"""How many rows each prompt that is being read gets in the next step."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from api.engine.sequence import Sequence
from api.engine.step_budget import StepBudget


def choose_chunks(
    reading: Iterable[Sequence],
    num_decode_rows: int,
    budget: StepBudget,
    tokens_to_stop: Callable[[Sequence], int],
) -> list[tuple[Sequence, int]]:
    """Chunks of ``reading``, in this order, within the budget of a step that has so many other rows.

    ``tokens_to_stop``: where a sequence's chunk has to end at the latest.
    """
    left = 1.0  # of the budget, which is fewer rows for a prompt with more behind it
    scorable = budget.max_scored_rows
    chosen = []
    for sequence in reading:
        room = budget.num_prompt_rows(num_decode_rows, sequence.num_computed)
        num_rows = min(sequence.num_remaining, round(left * room), tokens_to_stop(sequence))
        if num_rows <= 0:
            break
        num_rows = sequence.rows_within(num_rows, scorable)
        if num_rows == 0:  # the next one may want no logprobs
            continue
        scorable -= len(sequence.scored_positions(num_rows))
        chosen.append((sequence, num_rows))
        left -= num_rows / room
    return chosen
