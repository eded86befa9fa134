"""Runs the draft model: it prefills, then says a token for all its sequences at a time, step by step."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import mlx.core as mx

from api.engine.device.dispatch import dispatch
from api.engine.draft.drafter import Drafted
from api.engine.forward.interface import Forward
from api.engine.sampling.sampler import Sampler
from api.engine.sampling.state import Row
from api.step_plan import Draft, Span, StepPlan


@dataclass(frozen=True, slots=True)
class Vocabularies:
    """How the draft model's ids relate to those of the model that is served."""

    num_shared: int  # ids below it mean the same token in both, and are the only ones proposed
    num_draft: int  # rows of the draft model's embedding: higher ids mean nothing to it
    num_target: int  # rows of the other one's head


class ModelDrafter:
    """``Drafter`` by a model whose forward lies in slots and can rewind.

    Rows that are drawn are drawn from the draft's logits with the very noise that the verifying row will
    draw with: where both models think alike they say the same token, by chance as well.

    A draft's forward is built while the one before it runs, and dispatched when that one has ended: buffers
    in flight are not donated, so that each would copy the KV. No token is read in between.
    """

    def __init__(self, forward: Forward, sampler: Sampler, vocabularies: Vocabularies) -> None:
        """``sampler``: one of its own, since the other's makes noise ahead."""
        self._forward = forward
        self._sampler = sampler
        self._vocabularies = vocabularies

    def __call__(self, plan: StepPlan, rows: Sequence[Row]) -> Drafted | None:
        own = StepPlan(compactions=plan.compactions, num_slots=plan.num_slots, moves=plan.moves)
        if not plan.drafts:
            self._forward(own, mx.zeros((0,), dtype=mx.int32))
            return None
        first_rows = {row.sequence_id: row for row in reversed(rows)}
        spans = _first_spans(plan.drafts, first_rows)
        token_ids = [self._own_id(token) for span in spans for token in span.token_ids]
        logits = self._forward(replace(own, spans=spans), mx.array(token_ids, dtype=mx.int32))
        proposing = [span for span in spans if span.samples]
        if not proposing:
            return None
        counts = {draft.sequence_id: draft.num_proposals for draft in plan.drafts}
        drawn = {span.sequence_id: _without_logprobs(first_rows[span.sequence_id]) for span in proposing}
        return self._run_ahead(proposing, drawn, counts, plan.num_slots, self._draw(logits, proposing, drawn))

    def state(self) -> list[mx.array]:
        return self._forward.state()

    def reset(self) -> None:
        self._forward.reset()

    def _run_ahead(
        self,
        spans: list[Span],
        rows: Mapping[int, Row],
        counts: dict[int, int],
        num_slots: tuple[tuple[int, int], ...],
        token_ids: mx.array,
    ) -> Drafted:
        """``rows``: of each sequence, how it draws; ``token_ids``: the first proposals, one for each span."""
        ids = [span.sequence_id for span in spans]
        columns = [token_ids]
        places = {(sequence_id, 0): place for place, sequence_id in enumerate(ids)}
        for depth in range(1, max(counts[each] for each in ids)):
            dispatch(token_ids, *self._forward.state())
            staying = sorted((s for s in spans if counts[s.sequence_id] > depth), key=lambda span: span.slot)
            before = {span.sequence_id: row for row, span in enumerate(spans)}
            spans = [_next_span(span) for span in staying]
            inputs = token_ids[mx.array([before[span.sequence_id] for span in spans])]
            logits = self._forward(StepPlan(num_slots=num_slots, spans=tuple(spans)), inputs)
            mx.eval(token_ids)  # the draft before has ended, and nothing reads the KV
            token_ids = self._draw(logits, spans, rows)
            first = sum(column.shape[0] for column in columns)
            places |= {(span.sequence_id, depth): first + row for row, span in enumerate(spans)}
            columns.append(token_ids)
        order = mx.array([places[each, depth] for each in ids for depth in range(counts[each])])
        return Drafted(tuple(ids), tuple(counts[each] for each in ids), mx.concatenate(columns)[order])

    def _draw(self, logits: mx.array, spans: Sequence[Span], rows: Mapping[int, Row]) -> mx.array:
        drawn = [replace(rows[span.sequence_id], sample_index=span.sample_index) for span in spans]
        logits = logits[:, : self._vocabularies.num_shared]
        missing = self._vocabularies.num_target - logits.shape[-1]
        if missing > 0 and not all(row.sampling.is_greedy for row in drawn):
            # The noise of a token may depend on the number of tokens.
            none = mx.full((len(spans), missing), -mx.inf, dtype=logits.dtype)
            logits = mx.concatenate([logits, none], axis=-1)
        return self._sampler(logits, drawn).token_ids

    def _own_id(self, token_id: int) -> int:
        """A token that the draft model lacks is another one to it: what follows will be refuted."""
        return token_id if token_id < self._vocabularies.num_draft else 0


def _first_spans(drafts: Iterable[Draft], rows: Mapping[int, Row]) -> tuple[Span, ...]:
    """In the order of a plan's; ``rows``: the first of each sequence in the step that verifies."""
    spans = [_first_span(draft, rows.get(draft.sequence_id)) for draft in drafts]
    return tuple(sorted(spans, key=lambda span: (span.num_tokens > 1, span.slot)))


def _first_span(draft: Draft, row: Row | None) -> Span:
    return Span(
        sequence_id=draft.sequence_id,
        slot=draft.slot,
        start=draft.start,
        token_ids=draft.token_ids,
        num_samples=int(draft.num_proposals > 0),
        sample_index=0 if row is None else row.sample_index,
    )


def _next_span(span: Span) -> Span:
    """The row behind it, whose token is on the device only."""
    return replace(span, start=span.start + span.num_tokens, token_ids=(), sample_index=span.sample_index + 1)


def _without_logprobs(row: Row) -> Row:
    """Nobody hears of a draft's."""
    return replace(row, sampling=replace(row.sampling, num_top_logprobs=None))
