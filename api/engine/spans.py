"""The rows of a plan, from the sequences that were chosen for it."""

from __future__ import annotations

from api.engine.sequence import Sequence
from api.types import Span


def make_spans(chosen: list[tuple[Sequence, int]]) -> tuple[Span, ...]:
    """Spans in the order that ``StepPlan`` promises; called before the rows count as computed."""
    singles = sorted((pair for pair in chosen if pair[1] == 1), key=lambda pair: _slot_order(pair[0]))
    return tuple(_span(*pair) for pair in (*singles, *(pair for pair in chosen if pair[1] > 1)))


def _slot_order(sequence: Sequence) -> tuple[int, int]:
    assert sequence.slot is not None
    return sequence.slot.capacity, sequence.slot.index


def _span(sequence: Sequence, num_rows: int) -> Span:
    assert sequence.slot is not None
    start = sequence.num_computed
    is_first_after_copy = 0 < start == sequence.num_copied
    return Span(
        sequence_id=sequence.sequence_id,
        slot=sequence.slot,
        start=start,
        token_ids=tuple(sequence.token_ids[start : start + num_rows]),
        num_samples=int(start + num_rows == sequence.num_known),
        sample_index=sequence.num_sampled,
        sampling=sequence.sampling,
        known_ids=tuple(sequence.token_ids[:start]) if is_first_after_copy else (),
    )
