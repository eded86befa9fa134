"""An engine in small sizes: slots, scheduler, sequences, and the batch thread's loop over them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from collections.abc import Sequence as Items
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar
from unittest import mock

from api.engine.budget.step_budget import StepBudget
from api.engine.memory import sequence_memory
from api.engine.memory import slots as kv_slots
from api.engine.memory.account import BlockSizes, KVMemory
from api.engine.memory.block_cache import BlockCache
from api.engine.memory.prefix_cache import NoPrefixCache, PrefixCache
from api.engine.memory.sequence_memory import SequenceMemory
from api.engine.memory.slots import SlotPool
from api.engine.scheduling.scheduler import Scheduler
from api.engine.sequences.sequence import Sequence
from api.errors import ApiError
from api.step_plan import SampledLogprobs, StepNews, StepOutput, StepPlan
from api.types import FinishReason, SamplingParams
from tests.engine.fake_generator import (
    VOCAB_SIZE,
    FakeClock,
    FakeGenerator,
    StepFailed,
    expected_answer,
    expected_scores,
)

GREEDY = SamplingParams(temperature=0.0)
SCORING = SamplingParams(temperature=0.0, num_prompt_logprobs=0)
MAX_SCORED_ROWS = 12  # of a step


def compute_tokens(sequence: Sequence, num_tokens: int) -> None:
    """As steps do that sample nothing."""
    sequence._compute(num_tokens)


@contextmanager
def tiny_slot_classes(smallest: int = 8, first_answer_tokens: int = 4) -> Iterator[None]:
    """Length classes of 8, 12, 16, 24, ... tokens, so that short answers outgrow them."""
    sizes = mock.patch.object(kv_slots, "_SMALLEST_CAPACITY", smallest)
    with sizes, mock.patch.object(sequence_memory, "_FIRST_ANSWER_TOKENS", first_answer_tokens):
        yield


def create_slots(
    budget_tokens: int = 4096,
    context_length: int = 1024,
    bytes_per_token: int = 10,
    memory: KVMemory | None = None,
) -> SlotPool:
    return SlotPool(
        memory or KVMemory(budget_tokens * bytes_per_token),
        context_length=context_length,
        slot_bytes=lambda capacity: capacity * bytes_per_token,
    )


def create_memory(
    budget_tokens: int = 4096, context_length: int = 1024, cached_tokens: int = 0, block_tokens: int = 4
) -> SequenceMemory:
    """10 bytes a token; ``cached_tokens``: what the prefix cache may hold, 0 for none."""
    memory = KVMemory(10 * budget_tokens)
    prefixes: PrefixCache = NoPrefixCache()
    if cached_tokens:
        sizes = BlockSizes(block_tokens, kv_bytes=10 * block_tokens)
        prefixes = BlockCache(memory, sizes, limit_bytes=10 * cached_tokens)
    return SequenceMemory(create_slots(context_length=context_length, memory=memory), prefixes)


def create_budget(max_step_tokens: int = 32, stall_seconds: float = 0.25) -> StepBudget:
    return StepBudget(
        stall_seconds=stall_seconds,
        max_step_tokens=max_step_tokens,
        first_chunk_tokens=max_step_tokens,
        max_scored_rows=MAX_SCORED_ROWS,
    )


def create_scheduler(
    memory: SequenceMemory | None = None,
    *,
    max_batch_size: int = 8,
    max_step_tokens: int = 32,
    stall_seconds: float = 0.25,
    clock: FakeClock | None = None,
) -> Scheduler:
    return Scheduler(
        memory or create_memory(),
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
    request_number: int = 0,
    choice_index: int = 0,
    cache_salt: str = "",
    uses_prefix_cache: bool = True,
    client_id: str = "",
    priority: int = 0,
) -> Sequence:
    """A request ``r<number>``, by default its sequence's id, whose prompt differs from every other's."""
    number = request_number or sequence_id
    token_ids = list(prompt or ((number * 7 + i) % VOCAB_SIZE for i in range(num_prompt_tokens)))
    return Sequence(
        sequence_id=sequence_id,
        request_id=f"r{number}",
        choice_index=choice_index,
        token_ids=token_ids,
        num_prompt_tokens=len(token_ids),
        max_tokens=max_tokens,
        sampling=sampling,
        eos_token_ids=frozenset(eos_token_ids),
        arrival_seconds=arrival_seconds,
        cache_salt=cache_salt,
        uses_prefix_cache=uses_prefix_cache,
        client_id=client_id,
        priority=priority,
    )


@dataclass
class Result:
    """One request's outputs so far."""

    token_ids: list[int] = field(default_factory=list)
    finish_reason: FinishReason | None = None
    error: ApiError | None = None
    is_done: bool = False
    num_cached_tokens: int = 0
    prompt_logprobs: list[SampledLogprobs] = field(default_factory=list)


class Generator(Protocol):
    """What the loop asks of a generator, fake or real."""

    def add(self, sequence_id: int, sampling: SamplingParams) -> None: ...

    def step(self, plan: StepPlan) -> list[StepNews]: ...

    def reset(self) -> None: ...


G = TypeVar("G", bound=Generator)


def result_key(request_id: str, choice_index: int) -> str:
    """``r7``, and ``r7#1``, ``r7#2``, ... for its further choices."""
    return f"{request_id}#{choice_index}" if choice_index else request_id


class Loop(Generic[G]):
    """The batch thread's loop over a scheduler and a generator; checks each plan on the way."""

    def __init__(self, scheduler: Scheduler, memory: SequenceMemory, generator: G) -> None:
        self.scheduler = scheduler
        self.memory = memory
        self.slots = memory.slots
        self.generator = generator
        self.sequences: dict[str, Sequence] = {}
        self.results: dict[str, Result] = {}
        self.plans: list[StepPlan] = []
        self.ended_ids: list[int] = []  # of sequences, by all plans
        self.has_failed = False  # whether the newest plan's step raised

    def add(self, sequence: Sequence) -> None:
        key = result_key(sequence.request_id, sequence.choice_index)
        self.sequences[key] = sequence
        self.results[key] = Result()
        self.scheduler.add(sequence)
        self.generator.add(sequence.sequence_id, sequence.sampling)

    def cancel(self, request_id: str, choice_index: int | None = None) -> None:
        self._take(self.scheduler.cancel(request_id, choice_index))

    @property
    def live_sequences(self) -> list[Sequence]:
        return [sequence for key, sequence in self.sequences.items() if not self.results[key].is_done]

    def step(self) -> StepPlan:
        plan = self.scheduler.schedule()
        self.slots.check()
        self.memory.prefixes.check()
        self.plans.append(plan)
        self.ended_ids += plan.ended
        assert sum(len(span.scored_ids) for span in plan.spans) <= MAX_SCORED_ROWS
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

    def finish(self) -> None:
        """Runs to the end and checks all that must hold there."""
        self.run()
        self.check_idle()
        for request_id in self.results:
            self.check_answer(request_id)

    def check_idle(self) -> None:
        """Every request ended, and nothing is held."""
        assert all(result.is_done for result in self.results.values())
        stats = self.scheduler.stats()
        held = (stats.num_running, stats.num_waiting, stats.kv_used_bytes, stats.kv_reserved_bytes)
        assert held == (0, 0, 0, 0)
        assert sorted(self.ended_ids) == sorted(s.sequence_id for s in self.sequences.values())
        self.memory.prefixes.check()

    def check_answer(self, request_id: str) -> None:
        """An answer that ended by itself is the undisturbed one; any other is the beginning of it."""
        result, expected = self.results[request_id], expected_answer(self.sequences[request_id])
        scores = [each.logprob for each in result.prompt_logprobs]
        wanted = expected_scores(self.sequences[request_id])
        if result.error is None and result.finish_reason is not FinishReason.CANCELLED:
            assert result.token_ids == expected
            assert scores == wanted
        assert scores == wanted[: len(scores)]
        assert result.token_ids == expected[: len(result.token_ids)]

    def _take(self, outputs: list[StepOutput]) -> None:
        for output in outputs:
            result = self.results[result_key(output.request_id, output.choice_index)]
            assert not result.is_done, f"{output.request_id} had ended"
            if output.token_id is not None:
                result.token_ids.append(output.token_id)
            assert not (output.prompt_logprobs and result.token_ids), "the prompt comes first"
            result.prompt_logprobs += output.prompt_logprobs
            result.finish_reason, result.error = output.finish_reason, output.error
            result.is_done = output.is_last
            result.num_cached_tokens = max(result.num_cached_tokens, output.num_cached_tokens)


def create_loop(
    *,
    budget_tokens: int = 4096,
    context_length: int = 1024,
    max_batch_size: int = 8,
    max_step_tokens: int = 32,
    stall_seconds: float = 0.25,
    clock: FakeClock | None = None,
    cached_tokens: int = 0,
    block_tokens: int = 4,
) -> Loop[FakeGenerator]:
    memory = create_memory(budget_tokens, context_length, cached_tokens, block_tokens)
    clock = clock or FakeClock()
    made = create_scheduler(
        memory,
        max_batch_size=max_batch_size,
        max_step_tokens=max_step_tokens,
        stall_seconds=stall_seconds,
        clock=clock,
    )
    return Loop(made, memory, FakeGenerator(clock))
