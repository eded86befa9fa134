"""Proposals in the scheduler: whatever is proposed, right or wrong, answers stay the same."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from api.engine.budget.step_budget import StepBudget
from api.engine.scheduling.scheduler import Scheduler
from api.engine.sequences.sequence import Sequence
from api.engine.speculation.repeats import Repeats
from api.engine.speculation.speculation import AdaptiveSpeculation, NoSpeculation, Speculation
from api.engine.speculation.verification_costs import VerificationCosts
from api.step_plan import StepPlan
from api.types import FinishReason
from tests.engine import fake_generator
from tests.engine.factories import Loop, create_budget, create_memory, create_sequence
from tests.engine.fake_generator import VOCAB_SIZE, FakeClock, FakeGenerator, expected_answer, next_token
from tests.engine.fake_speculation import OracleSpeculation

pytestmark = pytest.mark.usefixtures("tiny_classes")

FakeLoop = Loop[FakeGenerator]


def future_of(sequence: Sequence) -> list[int]:
    """What the fake model says next."""
    known = list(sequence.token_ids)
    for _ in range(10):
        known.append(next_token(known))
    return known[len(sequence.token_ids) :]


def create_loop(
    speculation: Speculation | None = None,
    *,
    budget_tokens: int = 4096,
    cached_tokens: int = 0,
    budget: StepBudget | None = None,
) -> FakeLoop:
    clock = FakeClock()
    memory = create_memory(budget_tokens, context_length=60, cached_tokens=cached_tokens)
    made = speculation or OracleSpeculation(future_of, VOCAB_SIZE)
    scheduler = Scheduler(memory, budget or create_budget(20), 4, clock, made)
    return Loop(scheduler, memory, FakeGenerator(clock))


def num_proposals(plan: StepPlan) -> int:
    return sum(span.num_samples - 1 for span in plan.spans if span.samples)


def test_a_right_proposal_saves_a_step_and_all_tokens_arrive_in_order() -> None:
    loop = create_loop()
    loop.add(create_sequence(max_tokens=50))
    loop.finish()
    assert loop.results["r1"].finish_reason is FinishReason.LENGTH
    stats = loop.scheduler.stats()
    assert 0 < stats.num_accepted_tokens < stats.num_proposed_tokens
    assert sum(plan.num_rows > 0 for plan in loop.plans) == 50 - stats.num_accepted_tokens


def test_nothing_is_planned_beside_a_step_with_proposals() -> None:
    loop = create_loop()
    for i in (1, 2):
        loop.add(create_sequence(i, max_tokens=20))
    loop.finish()
    verifying = [i for i, plan in enumerate(loop.plans) if num_proposals(plan)]
    assert len(verifying) > 3
    assert all(not loop.plans[i + 1].spans for i in verifying)


def test_an_end_among_the_accepted_tokens_cuts_the_rest() -> None:
    """The oracle goes on behind the end."""
    for seed in range(20):
        sequence = create_sequence(max_tokens=30)
        end = expected_answer(sequence)[12]
        loop = create_loop(OracleSpeculation(future_of, VOCAB_SIZE, seed))
        loop.add(create_sequence(max_tokens=30, eos_token_ids=[end]))
        loop.finish()
        assert loop.results["r1"].finish_reason is FinishReason.STOP


def test_nothing_is_proposed_beyond_the_answer_or_the_slot() -> None:
    loop = create_loop(OracleSpeculation(future_of, VOCAB_SIZE, most=10))
    for i in (1, 2, 3):
        loop.add(create_sequence(i, num_prompt_tokens=3, max_tokens=4 + i))
    loop.finish()
    for plan in loop.plans:
        for span in plan.spans:
            assert span.start + span.num_tokens <= span.slot.capacity
            assert span.sample_index + span.num_samples <= 4 + span.sequence_id


def test_what_left_is_forgotten() -> None:
    speculation = OracleSpeculation(future_of, VOCAB_SIZE)
    loop = create_loop(speculation)
    for i in (1, 2):
        loop.add(create_sequence(i, max_tokens=20))
    for _ in range(6):
        loop.step()
    loop.cancel("r2")
    loop.finish()
    assert sorted(set(speculation.forgotten)) == [1, 2]


def test_a_client_pays_for_accepted_tokens_as_for_others() -> None:
    served = []
    for speculation in (NoSpeculation(), OracleSpeculation(future_of, VOCAB_SIZE)):
        loop = create_loop(speculation)
        loop.add(create_sequence(max_tokens=30))
        loop.finish()
        served.append(loop.scheduler._batch.order._departed)
    assert served[0] == served[1] and served[0]


def test_steps_with_proposals_tell_the_budget_nothing_of_plain_ones() -> None:
    seen: list[tuple[int, int]] = []

    class Observed(StepBudget):
        def observe(self, num_rows: int, num_prompt_rows: int, seconds: float, context: float = 0.0) -> None:
            seen.append((num_rows, num_prompt_rows))
            super().observe(num_rows, num_prompt_rows, seconds, context)

    budget = Observed(stall_seconds=0.25, max_step_tokens=20, first_chunk_tokens=20)
    loop = create_loop(budget=budget)
    loop.add(create_sequence(1, max_tokens=25))
    for _ in range(8):
        loop.step()
    loop.add(create_sequence(2, num_prompt_tokens=40, max_tokens=2))
    loop.finish()
    assert any(num_proposals(plan) and len(plan.spans) == 1 for plan in loop.plans)
    beside_prompts = [p for p in loop.plans if num_proposals(p) and p.num_rows > 12]
    assert beside_prompts
    assert {rows for rows, prompt_rows in seen if not prompt_rows} <= {1, 2}
    assert all(rows - prompt_rows <= 2 for rows, prompt_rows in seen)


@settings(max_examples=150)
@given(
    requests=st.lists(
        st.tuples(st.integers(1, 30), st.integers(1, 30), st.integers(0, 12)), min_size=1, max_size=8
    ),
    budget_tokens=st.integers(60, 300),
    cached_tokens=st.sampled_from([0, 40]),
    seed=st.integers(0, 1000),
    cancelled=st.none() | st.integers(1, 8),
    failing_step=st.none() | st.integers(2, 20),
)
def test_answers_do_not_depend_on_what_is_proposed(
    requests: list[tuple[int, int, int]],
    budget_tokens: int,
    cached_tokens: int,
    seed: int,
    cancelled: int | None,
    failing_step: int | None,
) -> None:
    """In little memory, with preemptions, a prefix cache, a cancel and a step that raises."""
    speculation = OracleSpeculation(future_of, VOCAB_SIZE, seed)
    loop = create_loop(speculation, budget_tokens=budget_tokens, cached_tokens=cached_tokens)
    for step in range(40):
        for i, (num_prompt_tokens, max_tokens, first) in enumerate(requests, 1):
            if first == step:
                loop.add(create_sequence(i, num_prompt_tokens, max_tokens, eos_token_ids=[7]))
        if step == 9 and cancelled and f"r{cancelled}" in loop.results:
            loop.cancel(f"r{cancelled}")
        loop.generator.fails_next = step == failing_step and loop.scheduler.stats().num_running > 1
        loop.step()
    loop.run()
    for request_id in loop.results:
        loop.check_answer(request_id)
    assert all(result.is_done for result in loop.results.values())


def test_a_text_that_repeats_itself_takes_fewer_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """The real thing over a model that counts in a circle."""
    monkeypatch.setattr(fake_generator, "next_token", lambda token_ids: (token_ids[-1] + 1) % 9)
    budget = create_budget(20)
    loop = create_loop(AdaptiveSpeculation(VerificationCosts(budget), [Repeats()]), budget=budget)
    loop.add(create_sequence(prompt=[3, 4, 5, 6, 7], max_tokens=50))
    loop.run()
    assert loop.results["r1"].token_ids == [(8 + i) % 9 for i in range(50)]
    stats = loop.scheduler.stats()
    assert stats.num_accepted_tokens > 25
    assert stats.num_accepted_tokens > 0.9 * stats.num_proposed_tokens
