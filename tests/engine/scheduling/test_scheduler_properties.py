"""Requests that come, go and break in any order, in any sizes."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from api.engine.sequences.sequence import Sequence
from api.step_plan import StepPlan
from api.types import FinishReason, SamplingParams
from tests.engine.factories import GREEDY, SCORING, Loop, create_loop, create_sequence
from tests.engine.fake_generator import EOS, FakeGenerator

pytestmark = pytest.mark.usefixtures("tiny_classes")


def ids(plan: StepPlan) -> list[int]:
    return [span.sequence_id for span in plan.spans]


class SchedulerMachine(RuleBasedStateMachine):
    """Requests come, go and break in any order, in little memory; prompts of one kind begin alike."""

    cached_tokens = 0

    def __init__(self) -> None:
        super().__init__()
        self.loop = create_loop(
            budget_tokens=120,
            context_length=60,
            max_batch_size=4,
            max_step_tokens=20,
            cached_tokens=self.cached_tokens,
        )
        forbid_needless_failures(self.loop)

    @rule(
        num_prompt_tokens=st.integers(1, 40),
        max_tokens=st.integers(0, 20),
        ends=st.booleans(),
        late=st.floats(0, 5),
        num_choices=st.integers(1, 3),
        kind=st.integers(0, 2),
        salt=st.sampled_from(["", "", "other"]),
        sampling=st.sampled_from([GREEDY, GREEDY, SCORING]),
    )
    def add(
        self,
        num_prompt_tokens: int,
        max_tokens: int,
        ends: bool,
        late: float,
        num_choices: int,
        kind: int,
        salt: str,
        sampling: SamplingParams,
    ) -> None:
        number = len(self.loop.results) + 1
        for choice_index in range(num_choices):
            sequence = create_sequence(
                number + choice_index,
                max_tokens=max_tokens,
                prompt=[kind + i // 8 % 5 for i in range(num_prompt_tokens - 1)] + [number % 30],
                cache_salt=salt,
                eos_token_ids=[EOS, 1, 2] if ends else [],
                arrival_seconds=100 + late,
                request_number=number,
                choice_index=choice_index,
                sampling=sampling,
            )
            self.loop.add(sequence)

    @precondition(lambda self: self.loop.results)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        key = data.draw(st.sampled_from(sorted(self.loop.results)))
        sequence, was_done = self.loop.sequences[key], self.loop.results[key].is_done
        self.loop.cancel(sequence.request_id, data.draw(st.sampled_from([None, sequence.choice_index])))
        assert self.loop.results[key].is_done
        assert was_done or self.loop.results[key].finish_reason is FinishReason.CANCELLED

    @rule(count=st.integers(1, 6))
    def step(self, count: int) -> None:
        for _ in range(count):
            has_suspects = any(sequence.is_suspect for sequence in self.loop.live_sequences)
            before = [] if has_suspects or self.loop.has_failed else self.loop.plans[-1:]
            plan = self.loop.step()
            check_rows(plan)
            for last in before:
                check_nobody_starves(self.loop, last, plan)

    @precondition(lambda self: self.loop.scheduler.stats().num_running)
    @rule()
    def step_raises(self) -> None:
        """Once. With several sequences under way nobody can be blamed yet."""
        self.loop.generator.fails_next = True
        before = {i for i, result in self.loop.results.items() if result.error}
        under_way = {i for plan in self.loop.plans[-1:] for i in ids(plan)}
        plan = self.loop.step()
        failed = {i for i, result in self.loop.results.items() if result.error} - before
        involved = under_way | set(ids(plan))
        assert len(failed) <= 1
        assert {self.loop.sequences[key].sequence_id for key in failed} <= involved

    @precondition(lambda self: self.loop.results)
    @rule(data=st.data(), when_read=st.booleans())
    def poison(self, data: st.DataObject, when_read: bool) -> None:
        request_id = data.draw(st.sampled_from(sorted(self.loop.results)))
        self.loop.generator.poison = {self.loop.sequences[request_id].sequence_id}
        self.loop.generator.raises_when_read = when_read

    @invariant()
    def bytes_add_up(self) -> None:
        self.loop.slots.check()
        held = [sequence.slot for sequence in self.loop.live_sequences if sequence.slot]
        assert len(set(held)) == len(held)
        assert self.loop.slots.used_bytes == 10 * sum(slot.capacity for slot in held)

    def teardown(self) -> None:
        self.loop.finish()


def check_rows(plan: StepPlan) -> None:
    """A chunk of 16 is prefilled even where the decode rows leave less."""
    num_decode_rows = sum(1 for span in plan.spans if span.sample_index > 0 and span.num_tokens == 1)
    assert plan.num_rows <= max(20, num_decode_rows + 16)


def check_nobody_starves(loop: Loop[FakeGenerator], last: StepPlan, plan: StepPlan) -> None:
    """Who sampled in the last step has a row in this one, is at its end, or lost its slot.

    Or it waits for one that a sequence moves from by this plan; or, with its first token, for prompts that
    came together with its own.
    """
    reads_prompts = any(span.sample_index == 0 for span in plan.spans)
    for span in last.spans:
        key = next(k for k, s in loop.sequences.items() if s.sequence_id == span.sequence_id)
        goes_on = span.samples and span.sample_index + 1 < loop.sequences[key].max_tokens
        if goes_on and not loop.has_failed and not loop.results[key].is_done:
            is_waiting = bool(plan.moves) or (span.sample_index == 0 and reads_prompts)
            assert is_waiting or span.sequence_id in [*ids(plan), *plan.released]


def forbid_needless_failures(loop: Loop[FakeGenerator]) -> None:
    """Nobody fails to grow, and so has others preempted, where the bytes of slots in use leave room."""
    grow = loop.memory.grow

    def checked_grow(sequence: Sequence) -> bool:
        has_grown = grow(sequence)
        if not has_grown and not loop.memory.frees_more:
            stats = loop.scheduler.stats()
            needed_bytes = 10 * loop.slots.capacity_for(sequence.num_known)
            assert stats.kv_used_bytes + stats.prefix_cache.used_bytes + needed_bytes > stats.kv_budget_bytes
        return has_grown

    loop.memory.grow = checked_grow  # type: ignore[method-assign]


class CachingMachine(SchedulerMachine):
    """The same with a prefix cache that soon is full."""

    cached_tokens = 60


_SETTINGS = settings(max_examples=100, stateful_step_count=30, deadline=None)
SchedulerMachine.TestCase.settings = _SETTINGS
TestAnyOrder = SchedulerMachine.TestCase
CachingMachine.TestCase.settings = _SETTINGS
TestAnyOrderWithPrefixCache = CachingMachine.TestCase


@settings(max_examples=100, deadline=None)
@given(
    requests=st.lists(st.tuples(st.integers(1, 30), st.integers(1, 30)), min_size=1, max_size=15),
    budget_tokens=st.integers(60, 300),
    max_step_tokens=st.integers(1, 64),
    max_batch_size=st.integers(1, 8),
)
def test_answers_do_not_depend_on_the_memory_the_chunks_or_the_batch(
    requests: list[tuple[int, int]], budget_tokens: int, max_step_tokens: int, max_batch_size: int
) -> None:
    loop = create_loop(
        budget_tokens=budget_tokens,
        context_length=60,
        max_batch_size=max_batch_size,
        max_step_tokens=max_step_tokens,
    )
    for i, (num_prompt_tokens, max_tokens) in enumerate(requests, 1):
        loop.add(create_sequence(i, num_prompt_tokens, max_tokens))
    forbid_needless_failures(loop)
    loop.finish()
    assert all(result.finish_reason is FinishReason.LENGTH for result in loop.results.values())
