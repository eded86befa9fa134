"""An engine without a model: a scheduler in small sizes, and a generator that answers by a formula.

``FakeGenerator`` keeps a model of the KV memory, applies each plan to it as the real forwards do, and
draws each token from what lies in the sequence's slot: a wrong move, a slot in two hands or a chunk that
is skipped changes the answer or fails an assertion.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator
from collections.abc import Sequence as Items
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar
from unittest import mock

from api.engine import kv_slots, scheduler
from api.engine.kv_slots import SlotPool
from api.engine.scheduler import Scheduler
from api.engine.sequence import Sequence
from api.engine.step_budget import StepBudget
from api.errors import ApiError
from api.types import FinishReason, SampledToken, SamplingParams, Slot, Span, StepOutput, StepPlan

EOS = 0
VOCAB_SIZE = 40
GREEDY = SamplingParams(temperature=0.0)


class FakeClock:
    """Seconds that pass only when a test or a step says so."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@contextmanager
def tiny_slot_classes(smallest: int = 8, growth: int = 2, first_answer_tokens: int = 4) -> Iterator[None]:
    """Length classes of 8, 16, 32, ... tokens, so that short answers outgrow them."""
    sizes = mock.patch.multiple(kv_slots, _SMALLEST_CAPACITY=smallest, _GROWTH=growth)
    with sizes, mock.patch.object(scheduler, "_FIRST_ANSWER_TOKENS", first_answer_tokens):
        yield


def create_slots(
    budget_tokens: int = 4096, context_length: int = 1024, bytes_per_token: int = 10
) -> SlotPool:
    return SlotPool(
        context_length=context_length,
        slot_bytes=lambda capacity: capacity * bytes_per_token,
        budget_bytes=budget_tokens * bytes_per_token,
    )


def create_budget(max_step_tokens: int = 32, stall_seconds: float = 0.25) -> StepBudget:
    return StepBudget(
        stall_seconds=stall_seconds, max_step_tokens=max_step_tokens, first_chunk_tokens=max_step_tokens
    )


def create_scheduler(
    slots: SlotPool | None = None,
    *,
    max_batch_size: int = 8,
    max_step_tokens: int = 32,
    stall_seconds: float = 0.25,
    clock: FakeClock | None = None,
) -> Scheduler:
    return Scheduler(
        slots or create_slots(),
        create_budget(max_step_tokens, stall_seconds),
        max_batch_size,
        clock or FakeClock(),
    )


def create_sequence(
    sequence_id: int = 1,
    num_prompt_tokens: int = 5,
    max_tokens: int = 4,
    *,
    prompt: Items[int] | None = None,
    eos_token_ids: Iterable[int] = (),
    arrival_seconds: float = 0.0,
    sampling: SamplingParams = GREEDY,
) -> Sequence:
    """A request ``r<id>`` whose prompt differs from every other's."""
    token_ids = list(prompt or ((sequence_id * 7 + i) % VOCAB_SIZE for i in range(num_prompt_tokens)))
    return Sequence(
        sequence_id=sequence_id,
        request_id=f"r{sequence_id}",
        token_ids=token_ids,
        num_prompt_tokens=len(token_ids),
        max_tokens=max_tokens,
        sampling=sampling,
        eos_token_ids=frozenset(eos_token_ids),
        arrival_seconds=arrival_seconds,
    )


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


class FakeKV:
    """Which token lies at which position of which slot; None where nothing was written."""

    def __init__(self) -> None:
        self.classes: dict[int, list[list[int | None]]] = {}

    def apply(self, plan: StepPlan) -> None:
        """Grows the classes, moves, then shrinks them, as a plan promises to be applied."""
        for capacity, count in plan.num_slots:
            rows = self.classes.setdefault(capacity, [])
            rows += [[None] * capacity for _ in range(count - len(rows))]
        for move in plan.moves:
            source, target = self.row(move.source), self.row(move.target)
            target[: move.num_tokens] = source[: move.num_tokens]
        for capacity, count in plan.num_slots:
            del self.classes[capacity][count:]

    def row(self, slot: Slot) -> list[int | None]:
        return self.classes[slot.capacity][slot.index]

    def write(self, slot: Slot, start: int, token_ids: Items[int]) -> None:
        row = self.row(slot)
        assert start + len(token_ids) <= len(row), f"{slot} is too short"
        row[start : start + len(token_ids)] = token_ids


class StepFailed(Exception):
    """What a device would raise."""


class FakeGenerator:
    """Pipelined by one, as ``BatchGenerator``: returns what the plan before sampled."""

    def __init__(self, clock: FakeClock | None = None, seconds_per_row: float = 0.001) -> None:
        self.kv = FakeKV()
        self.poison: set[int] = set()  # a step with one of these sequences raises
        self.raises_when_read = False  # the poison shows one step later, as a device's errors do
        self.fails_next = False
        self._clock = clock
        self._seconds_per_row = seconds_per_row
        self._known: dict[int, list[int]] = {}  # sequence id -> its tokens, as the spans told
        self._in_flight: dict[int, int] = {}
        self._in_flight_ids: set[int] = set()

    def step(self, plan: StepPlan) -> list[SampledToken]:
        ids = {span.sequence_id for span in plan.spans}
        poisoned = self._in_flight_ids if self.raises_when_read else ids
        if self.fails_next or poisoned & self.poison:
            self.fails_next = False
            raise StepFailed
        check_order(plan)
        self.kv.apply(plan)
        sampled = {s.sequence_id: t for s in plan.spans if (t := self._run(s)) is not None}
        read = [SampledToken(i, t) for i, t in self._in_flight.items()]
        self._in_flight, self._in_flight_ids = sampled, ids
        if self._clock is not None:
            self._clock.now += 0.01 + self._seconds_per_row * plan.num_rows
        return read

    def reset(self) -> None:
        self.kv = FakeKV()
        self._known.clear()
        self._in_flight, self._in_flight_ids = {}, set()

    def _run(self, span: Span) -> int | None:
        token_ids = span.token_ids or (self._in_flight[span.sequence_id],)
        known = self._known.setdefault(span.sequence_id, [])
        del known[span.start :]
        assert self.kv.row(span.slot)[: span.start] == known, f"the slot holds something else: {span}"
        self.kv.write(span.slot, span.start, token_ids)
        known += token_ids
        return next_token(known) if span.samples else None


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


@dataclass
class Result:
    """One request's outputs so far."""

    token_ids: list[int] = field(default_factory=list)
    finish_reason: FinishReason | None = None
    error: ApiError | None = None
    is_done: bool = False


class Generator(Protocol):
    """What the loop asks of a generator, fake or real."""

    def step(self, plan: StepPlan) -> list[SampledToken]: ...

    def reset(self) -> None: ...


G = TypeVar("G", bound=Generator)


class Loop(Generic[G]):
    """The batch thread's loop over a scheduler and a generator; checks each plan on the way."""

    def __init__(self, scheduler: Scheduler, slots: SlotPool, generator: G) -> None:
        self.scheduler = scheduler
        self.slots = slots
        self.generator = generator
        self.sequences: dict[str, Sequence] = {}
        self.results: dict[str, Result] = {}
        self.plans: list[StepPlan] = []
        self.has_failed = False  # whether the newest plan's step raised

    def add(self, sequence: Sequence) -> None:
        self.sequences[sequence.request_id] = sequence
        self.results[sequence.request_id] = Result()
        self.scheduler.add(sequence)

    def cancel(self, request_id: str) -> None:
        self._take(self.scheduler.cancel(request_id))

    @property
    def live_sequences(self) -> list[Sequence]:
        return [s for s in self.sequences.values() if not self.results[s.request_id].is_done]

    def step(self) -> StepPlan:
        plan = self.scheduler.schedule()
        self.slots.check()
        self.plans.append(plan)
        try:
            sampled = self.generator.step(plan)
        except StepFailed as error:
            self.has_failed = True
            self.generator.reset()
            self._take(self.scheduler.recover(error))
        else:
            self.has_failed = False
            self._take(self.scheduler.update(sampled))
        for sequence in self.live_sequences:
            sequence.check()
        return plan

    def run(self, max_steps: int = 5000) -> None:
        """Steps until nothing is left to do."""
        for _ in range(max_steps):
            if not self.scheduler.has_work:
                return
            self.step()
        raise AssertionError("the requests do not end")

    def check_idle(self) -> None:
        """Every request ended, and nothing is held."""
        assert all(result.is_done for result in self.results.values())
        stats = self.scheduler.stats()
        held = (stats.num_running, stats.num_waiting, stats.kv_used_bytes, stats.kv_reserved_bytes)
        assert held == (0, 0, 0, 0)

    def check_answer(self, request_id: str) -> None:
        """An answer that ended by itself is the undisturbed one; any other is the beginning of it."""
        result, expected = self.results[request_id], expected_answer(self.sequences[request_id])
        if result.error is None and result.finish_reason is not FinishReason.CANCELLED:
            assert result.token_ids == expected
        assert result.token_ids == expected[: len(result.token_ids)]

    def _take(self, outputs: list[StepOutput]) -> None:
        for output in outputs:
            result = self.results[output.request_id]
            assert not result.is_done, f"{output.request_id} had ended"
            if output.token_id is not None:
                result.token_ids.append(output.token_id)
            result.finish_reason, result.error = output.finish_reason, output.error
            result.is_done = output.is_last


def create_loop(
    *,
    budget_tokens: int = 4096,
    context_length: int = 1024,
    max_batch_size: int = 8,
    max_step_tokens: int = 32,
    stall_seconds: float = 0.25,
    clock: FakeClock | None = None,
) -> Loop[FakeGenerator]:
    slots = create_slots(budget_tokens, context_length)
    clock = clock or FakeClock()
    made = create_scheduler(
        slots,
        max_batch_size=max_batch_size,
        max_step_tokens=max_step_tokens,
        stall_seconds=stall_seconds,
        clock=clock,
    )
    return Loop(made, slots, FakeGenerator(clock))
