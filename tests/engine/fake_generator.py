"""A generator without a model, which answers by a formula.

It keeps a model of the KV memory, applies each plan to it as the real forwards do, and draws each token
from what lies in the sequence's slot: a wrong move, a slot in two hands or a chunk that is skipped
changes the answer or fails an assertion.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from collections.abc import Sequence as Items
from dataclasses import replace

from api.engine.sequences.sequence import Sequence
from api.step_plan import (
    DRAFTED,
    Draft,
    DraftedTokens,
    SampledLogprobs,
    SampledToken,
    ScoredTokens,
    Slot,
    SlotMove,
    Span,
    StepNews,
    StepPlan,
)
from api.types import SamplingParams

EOS = 0
VOCAB_SIZE = 40


class FakeClock:
    """Seconds that pass only when a test or a step says so."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def next_token(token_ids: Items[int]) -> int:
    """The fake model: a token that depends on every token before it."""
    return zlib.crc32(bytes(token_ids)) % VOCAB_SIZE


def expected_answer(sequence: Sequence) -> list[int]:
    """What the fake model answers to a sequence that is alone and undisturbed."""
    known = sequence.token_ids[: sequence.num_prompt_tokens]
    answer: list[int] = []
    while len(answer) < sequence.max_tokens:
        answer.append(next_token(known + answer))
        if answer[-1] in sequence.eos_token_ids:
            break
    return answer


def score_of(token_ids: Items[int], position: int) -> float:
    """What the fake model thinks of a token, by all before it."""
    return -float(zlib.crc32(bytes(token_ids[: position + 1])) % 1000)


def expected_scores(sequence: Sequence) -> list[float]:
    """Of its prompt's tokens from the second one on, where they are wanted."""
    if sequence.sampling.num_prompt_logprobs is None:
        return []
    return [score_of(sequence.token_ids, position) for position in range(1, sequence.num_prompt_tokens)]


class FakeKV:
    """Which token lies at which position of which slot; None where nothing was written."""

    def __init__(self) -> None:
        self.classes: dict[int, list[list[int | None]]] = {}
        self.blocks: dict[int, list[int | None]] = {}

    def apply(self, plan: StepPlan) -> None:
        """Drops and saves blocks, closes holes, gives slots up, grows, loads, moves, as a plan promises."""
        for block_id in plan.evicted_blocks:
            del self.blocks[block_id]
        for save in plan.saves:
            tokens = self.row(save.slot)[save.start : save.start + save.num_tokens]
            assert save.block_id not in self.blocks and None not in tokens
            self.blocks[save.block_id] = tokens
        self._move(plan.compactions)
        for capacity, count in plan.num_slots:
            rows = self.classes.setdefault(capacity, [])
            del rows[count:]
            rows += [[None] * capacity for _ in range(count - len(rows))]
        for load in plan.loads:
            tokens = [token for block_id in load.block_ids for token in self.blocks[block_id]]
            self.row(load.slot)[: len(tokens)] = tokens
        self._move(plan.moves)

    def _move(self, moves: Items[SlotMove]) -> None:
        read = [self.row(move.source)[: move.num_tokens] for move in moves]
        for move, tokens in zip(moves, read, strict=True):
            self.row(move.target)[: move.num_tokens] = tokens

    def row(self, slot: Slot) -> list[int | None]:
        return self.classes[slot.capacity][slot.index]

    def write(self, slot: Slot, start: int, token_ids: Items[int]) -> None:
        row = self.row(slot)
        assert start + len(token_ids) <= len(row), f"{slot} is too short"
        row[start : start + len(token_ids)] = token_ids


class StepFailed(Exception):
    """What a device would raise."""


class FakeDrafter:
    """A draft model that says what ``guess`` makes of the tokens in its own slots."""

    def __init__(
        self,
        guess: Callable[[Items[int]], int] = next_token,
        draft_seconds: float = 0.002,
        read_seconds: float = 0.0,
    ) -> None:
        self.kv = FakeKV()
        self._guess = guess
        self._draft_seconds = draft_seconds  # of a forward, whatever its rows
        self._read_seconds = read_seconds  # beside that, for each token that is prefilled
        self.num_prefilled_tokens = 0
        self.expected: dict[int, list[int]] = {}  # what its slots must hold, by sequence id

    def __call__(self, plan: StepPlan) -> dict[int, tuple[int, ...]]:
        self.kv.apply(replace(plan, saves=(), loads=(), evicted_blocks=()))
        return {d.sequence_id: tokens for d in plan.drafts if (tokens := self._run(d))}

    def seconds(self, plan: StepPlan) -> float:
        depth = max((max(1, draft.num_proposals) for draft in plan.drafts), default=0)
        num_read = sum(len(draft.token_ids) for draft in plan.drafts)
        return depth * self._draft_seconds + num_read * self._read_seconds

    def _run(self, draft: Draft) -> tuple[int, ...]:
        self.num_prefilled_tokens += len(draft.token_ids)
        assert self.kv.row(draft.slot)[: draft.start] == self.expected[draft.sequence_id]
        self.kv.write(draft.slot, draft.start, draft.token_ids)
        known = self.kv.row(draft.slot)[: draft.start + len(draft.token_ids)]
        tokens: list[int] = []
        while len(tokens) < draft.num_proposals:
            if tokens:
                self.kv.write(draft.slot, len(known), tokens[-1:])
                known.append(tokens[-1])
            tokens.append(self._guess([token for token in known if token is not None]))
        return tuple(tokens)


def _with_drafts(span: Span, drafted: dict[int, tuple[int, ...]]) -> Span:
    num_drafted = sum(token_id == DRAFTED for token_id in span.token_ids)
    if not num_drafted:
        return span
    known, tokens = span.token_ids[:-num_drafted], drafted[span.sequence_id]
    assert DRAFTED not in known and len(tokens) == num_drafted
    return replace(span, token_ids=(*known, *tokens))


class FakeGenerator:
    """Pipelined by one, as ``BatchGenerator``: returns what the plan before sampled."""

    def __init__(
        self,
        clock: FakeClock | None = None,
        seconds_per_row: float = 0.001,
        drafter: FakeDrafter | None = None,
    ) -> None:
        self.kv = FakeKV()
        self.drafter = drafter or FakeDrafter()
        self.poison: set[int] = set()  # a step with one of these sequences raises
        self.raises_when_read = False  # the poison shows one step later, as a device's errors do
        self.fails_next = False
        self._clock = clock
        self._seconds_per_row = seconds_per_row
        self._running_seconds = 0.0  # of the step in flight
        self._added: set[int] = set()  # and have not ended
        self._known: dict[int, list[int]] = {}  # sequence id -> its tokens, as the spans told
        self._in_flight: dict[int, list[int]] = {}
        self._in_flight_ids: set[int] = set()
        self._scores: list[ScoredTokens] = []  # in flight
        self._drafted: dict[int, tuple[int, ...]] = {}  # in flight

    def add(self, sequence_id: int, sampling: SamplingParams) -> None:
        assert sequence_id not in self._added
        self._added.add(sequence_id)

    def step(self, plan: StepPlan) -> list[StepNews]:
        ids = {span.sequence_id for span in plan.spans}
        assert set(plan.ended) <= self._added & set(plan.released)
        self._added -= set(plan.ended)
        assert ids <= self._added, "it was never added, or has ended"
        poisoned = self._in_flight_ids if self.raises_when_read else ids
        if self.fails_next or poisoned & self.poison:
            self.fails_next = False
            raise StepFailed
        check_order(plan)
        self.kv.apply(plan)
        for draft in plan.drafts:
            self._check_draft(draft, plan)
        drafted = self.drafter(plan)
        assert not drafted.keys() & self._in_flight.keys(), "drafts behind tokens that are not read"
        spans = [_with_drafts(span, drafted) for span in plan.spans]
        sampled = {span.sequence_id: self._run(span) for span in spans}
        tokens = [SampledToken(i, t) for i, tokens in self._in_flight.items() for t in tokens]
        news = [DraftedTokens(i, tokens) for i, tokens in self._drafted.items()]
        read = [*news, *self._scores, *tokens]
        self._drafted = drafted
        self._scores = [self._score(span) for span in plan.spans if span.scored_ids]
        self._in_flight, self._in_flight_ids = sampled, ids
        if self._clock is not None:  # what is read now has run since it was handed over
            self._clock.now += self._running_seconds
        self._running_seconds = self._seconds(plan)
        return read

    def _seconds(self, plan: StepPlan) -> float:
        return 0.01 + self._seconds_per_row * plan.num_rows + self.drafter.seconds(plan)

    def _check_draft(self, draft: Draft, plan: StepPlan) -> None:
        """It computes what is known, behind what it has computed, and for rows of the step."""
        span = next(span for span in plan.spans if span.sequence_id == draft.sequence_id)
        known = [*self._known[draft.sequence_id][: span.start], *span.token_ids]
        end = draft.start + len(draft.token_ids)
        assert draft.slot == span.slot and tuple(known[draft.start : end]) == draft.token_ids
        assert draft.num_proposals == span.token_ids.count(DRAFTED)
        assert not draft.num_proposals or end == span.start + span.num_tokens - draft.num_proposals
        self.drafter.expected[draft.sequence_id] = known[: draft.start]

    def reset(self) -> None:
        self.kv = FakeKV()
        self._known.clear()
        self._in_flight, self._in_flight_ids = {}, set()
        self._scores = []
        self._drafted = {}
        self.drafter.kv = FakeKV()

    def _score(self, span: Span) -> ScoredTokens:
        """Of the rows before those that are sampled from, each for the token behind it."""
        known, num_rows = self._known[span.sequence_id], span.num_tokens - span.num_samples
        start = span.start + num_rows - len(span.scored_ids) + 1
        end = start + len(span.scored_ids)
        assert tuple(known[start:end]) == span.scored_ids[: len(known) - start]
        text = [*known[:start], *span.scored_ids]
        scores = tuple(SampledLogprobs(score_of(text, position)) for position in range(start, end))
        return ScoredTokens(span.sequence_id, start, scores)

    def _run(self, span: Span) -> list[int]:
        token_ids = span.token_ids or self._in_flight[span.sequence_id]
        assert len(token_ids) == span.num_tokens, "which of several tokens in flight holds is not known"
        known = self._known.setdefault(span.sequence_id, [])
        known[: len(span.known_ids)] = span.known_ids
        del known[span.start :]
        assert self.kv.row(span.slot)[: span.start] == known, f"the slot holds something else: {span}"
        self.kv.write(span.slot, span.start, token_ids)
        known += token_ids
        ends = range(len(known) - span.num_samples + 1, len(known) + 1)
        return [next_token(known[:end]) for end in ends]


def check_order(plan: StepPlan) -> None:
    """What the flat step takes for granted: singles first, by class, and no slot twice."""
    lengths = [span.num_tokens for span in plan.spans]
    num_singles = plan.num_decode_rows
    assert all(n == 1 for n in lengths[:num_singles]) and all(n > 1 for n in lengths[num_singles:])
    capacities = [span.slot.capacity for span in plan.spans[:num_singles]]
    assert capacities == sorted(capacities)
    slots = [span.slot for span in plan.spans]
    assert len(set(slots)) == len(slots)
    sizes = dict(plan.num_slots)
    assert all(slot.index < sizes[slot.capacity] for slot in slots)
