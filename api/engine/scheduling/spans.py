"""The rows of a plan, from the sequences that were chosen for it."""

from __future__ import annotations

from api.engine.sequences.sequence import Sequence
from api.step_plan import Slot, Span


def make_spans(chosen: list[tuple[Sequence, int]]) -> tuple[Span, ...]:
    """Spans in the order that ``StepPlan`` promises; called before the rows count as computed."""
    singles = sorted((pair for pair in chosen if pair[1] == 1), key=lambda pair: _slot(pair[0]))
    return tuple(_span(*pair) for pair in (*singles, *(pair for pair in chosen if pair[1] > 1)))


def _slot(sequence: Sequence) -> Slot:
    assert sequence.slot is not None
    return sequence.slot


def _span(sequence: Sequence, num_rows: int) -> Span:
    start, proposals = sequence.num_computed, sequence.proposals
    scored = sequence.scored_positions(num_rows)
    is_first_after_copy = 0 < start == sequence.num_copied
    return Span(
        sequence_id=sequence.sequence_id,
        slot=_slot(sequence),
        start=start,
        token_ids=(*sequence.token_ids[start : start + num_rows - len(proposals)], *proposals),
        num_samples=num_rows if proposals else int(start + num_rows == sequence.num_known),
        sample_index=sequence.num_sampled,
        known_ids=tuple(sequence.token_ids[:start]) if is_first_after_copy else (),
        scored_ids=tuple(sequence.token_ids[scored.start : scored.stop]),
    )
