"""The rows of a plan, from the sequences that were chosen for it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from api.engine.sequence import Sequence
from api.step_plan import Slot, Span


def make_spans(chosen: list[tuple[Sequence, int]]) -> tuple[Span, ...]:
    """Spans in the order that ``StepPlan`` promises; called before the rows count as computed."""
    singles = sorted((pair for pair in chosen if pair[1] == 1), key=lambda pair: _slot(pair[0]))
    return tuple(_span(*pair) for pair in (*singles, *(pair for pair in chosen if pair[1] > 1)))


def sampled_rows(spans: Iterable[Span]) -> list[Span]:
    """One span for each row that is sampled from, in the order of the logits.

    A span with proposals becomes several, each with its own place in the answer: a row draws as it would
    if the tokens before it had come one by one.
    """
    return [row for span in spans for row in _rows_of(span)]


def _rows_of(span: Span) -> tuple[Span, ...]:
    if span.num_samples < 2:
        return (span,) if span.samples else ()
    start, first = span.start + span.num_tokens - span.num_samples, span.num_tokens - span.num_samples
    return tuple(
        replace(
            span,
            start=start + i,
            token_ids=(span.token_ids[first + i],),
            num_samples=1,
            sample_index=span.sample_index + i,
        )
        for i in range(span.num_samples)
    )


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
        sampling=sequence.sampling,
        known_ids=tuple(sequence.token_ids[:start]) if is_first_after_copy else (),
        scored_ids=tuple(sequence.token_ids[scored.start : scored.stop]),
    )
