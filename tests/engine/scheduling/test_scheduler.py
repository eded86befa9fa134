from __future__ import annotations

import pytest

from api.engine.budget.step_budget import StepBudget
from api.engine.scheduling.scheduler import Scheduler
from api.step_plan import StepPlan
from api.types import FinishReason
from tests.engine.factories import Loop, create_budget, create_loop, create_memory, create_sequence
from tests.engine.fake_generator import FakeClock, FakeGenerator, expected_answer

pytestmark = pytest.mark.usefixtures("tiny_classes")

FakeLoop = Loop[FakeGenerator]


def ids(plan: StepPlan) -> list[int]:
    return [span.sequence_id for span in plan.spans]


def rows_of(loop: FakeLoop, sequence_id: int) -> list[int]:
    """The rows that a sequence had in each step."""
    return [sum(s.num_tokens for s in plan.spans if s.sequence_id == sequence_id) for plan in loop.plans]


# --- one sequence ------------------------------------------------------------------------------


def test_an_answer_ends_at_its_length() -> None:
    loop = create_loop()
    loop.add(create_sequence(num_prompt_tokens=5, max_tokens=6))
    loop.finish()
    assert loop.results["r1"].finish_reason is FinishReason.LENGTH
    assert len(loop.results["r1"].token_ids) == 6


def test_an_answer_ends_at_an_end_of_sequence_token_that_counts_but_is_no_text() -> None:
    sequence = create_sequence(max_tokens=6)
    third = expected_answer(sequence)[2]
    loop = create_loop()
    loop.add(create_sequence(max_tokens=6, eos_token_ids=[third]))
    outputs = []
    while loop.scheduler.has_work:
        outputs += loop.scheduler.update(loop.generator.step(loop.scheduler.schedule()))
    assert [(o.token_id, o.is_text) for o in outputs[-2:]] == [
        (expected_answer(sequence)[1], True),
        (third, False),
    ]
    assert outputs[-1].finish_reason is FinishReason.STOP


def test_the_last_prompt_token_samples_and_the_next_row_refers_to_the_token_in_flight() -> None:
    loop = create_loop()
    sequence = create_sequence(num_prompt_tokens=5, max_tokens=3)
    prompt = tuple(sequence.token_ids)
    loop.add(sequence)
    (first,), (second,) = loop.step().spans, loop.step().spans
    assert (first.token_ids, first.start, first.samples, first.sample_index) == (prompt, 0, True, 0)
    assert (second.token_ids, second.start, second.samples, second.sample_index) == ((), 5, True, 1)
    assert len(loop.results["r1"].token_ids) == 1  # one behind


def test_no_row_is_computed_for_tokens_after_the_last_one_allowed() -> None:
    loop = create_loop()
    loop.add(create_sequence(num_prompt_tokens=5, max_tokens=3))
    loop.run()
    assert rows_of(loop, 1) == [5, 1, 1, 0, 0]  # then one step to read the last token, one to let go


def test_long_prompts_are_prefilled_in_chunks_and_only_the_last_samples() -> None:
    loop = create_loop(max_step_tokens=32)
    loop.add(create_sequence(num_prompt_tokens=80, max_tokens=1))
    loop.finish()
    spans = [span for plan in loop.plans for span in plan.spans]
    assert [(s.start, s.num_tokens, s.samples) for s in spans] == [
        (0, 32, False),
        (32, 32, False),
        (64, 16, True),
    ]


def test_an_idle_scheduler_has_no_work_and_plans_nothing() -> None:
    loop = create_loop()
    assert not loop.scheduler.has_work
    assert loop.scheduler.schedule().spans == ()


def test_only_a_first_step_is_put_off_for_others() -> None:
    budget = StepBudget(
        stall_seconds=0.25, max_step_tokens=32, first_chunk_tokens=8, step_seconds={1: 0.1, 32: 1.0}
    )
    scheduler = Scheduler(create_memory(), budget, 8, FakeClock())
    assert scheduler.pause_seconds == 0
    scheduler.add(create_sequence(num_prompt_tokens=16))
    assert 0 < scheduler.pause_seconds <= 0.02
    scheduler.schedule()
    scheduler.add(create_sequence(2, num_prompt_tokens=16))
    assert scheduler.pause_seconds == 0


def test_what_ended_is_released_in_the_next_plan() -> None:
    loop = create_loop()
    loop.add(create_sequence(max_tokens=1))
    loop.run()
    assert [plan.released for plan in loop.plans] == [(), (), (1,)]
    assert dict(loop.plans[-1].num_slots) == dict.fromkeys(dict(loop.plans[-1].num_slots), 0)


# --- many --------------------------------------------------------------------------------------


def test_the_batch_has_at_most_its_size_and_others_join_as_rows_come_free() -> None:
    loop = create_loop(max_batch_size=3)
    for i in range(1, 9):
        loop.add(create_sequence(i, max_tokens=i))
    loop.finish()
    assert max(len(plan.spans) for plan in loop.plans) == 3


def test_a_sequence_that_joins_later_and_is_shorter_ends_first() -> None:
    loop = create_loop()
    loop.add(create_sequence(1, max_tokens=40))
    for _ in range(3):
        loop.step()
    loop.add(create_sequence(2, max_tokens=3))
    while not loop.results["r2"].is_done:
        loop.step()
    assert not loop.results["r1"].is_done
    loop.finish()


@pytest.mark.parametrize("num_steps", [0, 1, 2, 5])
def test_a_cancelled_request_leaves_at_once_and_the_others_go_on(num_steps: int) -> None:
    loop = create_loop()
    for i in (1, 2, 3):
        loop.add(create_sequence(i, num_prompt_tokens=40, max_tokens=20))
    for _ in range(num_steps):
        loop.step()
    loop.cancel("r2")
    assert loop.results["r2"].finish_reason is FinishReason.CANCELLED
    assert 2 not in ids(loop.step())
    loop.finish()
    assert len(loop.results["r1"].token_ids) == len(loop.results["r3"].token_ids) == 20


def test_cancelling_unknown_and_finished_requests_does_nothing() -> None:
    loop = create_loop()
    loop.add(create_sequence(max_tokens=1))
    loop.run()
    assert loop.scheduler.cancel("r1") == loop.scheduler.cancel("never") == []


def test_running_streams_get_a_row_in_every_step_while_a_long_prompt_is_prefilled() -> None:
    loop = create_loop(context_length=4096)
    for i in range(1, 6):
        loop.add(create_sequence(i, max_tokens=60))
    for _ in range(3):
        loop.step()
    loop.add(create_sequence(9, num_prompt_tokens=500, max_tokens=2))
    steps = [loop.step() for _ in range(10)]
    assert all({1, 2, 3, 4, 5} <= set(ids(plan)) for plan in steps)
    assert all(rows > 0 for rows in rows_of(loop, 9)[3:])


def test_a_prompt_takes_no_longer_per_step_than_the_stall_target() -> None:
    clock = FakeClock()
    loop = create_loop(context_length=4096, max_step_tokens=512, stall_seconds=0.05, clock=clock)
    loop.add(create_sequence(1, max_tokens=200))
    for _ in range(20):
        loop.step()
    for i in range(2, 6):
        loop.add(create_sequence(i, num_prompt_tokens=400, max_tokens=1))
    for _ in range(4):
        loop.step()  # the first one is blind, and what it cost is known once it was read
    before, seconds = clock.now, []
    while not all(loop.results[f"r{i}"].is_done for i in range(2, 6)):
        loop.step()
        seconds.append(clock.now - before)
        before = clock.now
    assert len(seconds) > 10
    assert max(seconds) <= 0.01 + 0.001 + 0.05 * 1.3  # the plain step, and the target roughly


# --- whose prompt first ------------------------------------------------------------------------


def prefill_order(loop: FakeLoop) -> list[int]:
    """Sequence ids in the order of their first samples."""
    order = [s.sequence_id for plan in loop.plans for s in plan.spans if s.samples and s.sample_index == 0]
    return list(dict.fromkeys(order))


def calibrate(loop: FakeLoop) -> None:
    """Lets the budget learn what a row costs."""
    loop.add(create_sequence(99, num_prompt_tokens=64, max_tokens=3))
    loop.run()
    loop.plans.clear()


def test_the_shortest_prompt_is_prefilled_first() -> None:
    clock = FakeClock()
    loop = create_loop(clock=clock)
    calibrate(loop)
    for i, length in ((1, 90), (2, 60), (3, 30)):
        loop.add(create_sequence(i, length, max_tokens=1, arrival_seconds=clock.now))
    loop.finish()
    assert prefill_order(loop) == [3, 2, 1]


def test_a_prompt_that_waited_long_goes_before_shorter_ones() -> None:
    clock = FakeClock()
    loop = create_loop(clock=clock)
    calibrate(loop)
    loop.add(create_sequence(1, 90, max_tokens=1, arrival_seconds=clock.now - 10))
    loop.add(create_sequence(2, 30, max_tokens=1, arrival_seconds=clock.now))
    loop.finish()
    assert prefill_order(loop) == [1, 2]


def test_a_stream_of_short_prompts_cannot_starve_a_long_one() -> None:
    clock = FakeClock()
    loop = create_loop(clock=clock)
    calibrate(loop)
    loop.add(create_sequence(1, 300, max_tokens=1, arrival_seconds=clock.now))
    for i in range(2, 80):
        loop.add(create_sequence(i, 30, max_tokens=1, arrival_seconds=clock.now))
        loop.step()
        if loop.results["r1"].is_done:
            break
    assert loop.results["r1"].is_done
    assert sum(result.is_done for result in loop.results.values()) > 5  # the short ones were not stopped


# --- memory ------------------------------------------------------------------------------------


def test_an_answer_that_outgrows_its_slot_moves_up_with_its_tokens() -> None:
    loop = create_loop()
    loop.add(create_sequence(num_prompt_tokens=5, max_tokens=50))
    loop.finish()
    moves = [move for plan in loop.plans for move in plan.moves]
    assert [(m.source.capacity, m.target.capacity, m.num_tokens) for m in moves] == [
        (12, 32, 12),
        (32, 64, 32),
    ]


def test_many_requests_in_little_memory_get_the_same_answers() -> None:
    loop = create_loop(budget_tokens=80, context_length=64)
    for i in range(1, 13):
        loop.add(create_sequence(i, num_prompt_tokens=4 + i, max_tokens=40))
    loop.finish()
    assert loop.scheduler.stats().num_preemptions > 0


def test_the_youngest_is_preempted() -> None:
    loop = create_loop(budget_tokens=32, context_length=32)
    loop.add(create_sequence(1, 4, max_tokens=20, arrival_seconds=2.0))
    loop.add(create_sequence(2, 4, max_tokens=20, arrival_seconds=1.0))
    while not loop.scheduler.stats().num_preemptions:
        loop.step()
    assert loop.plans[-1].released == (1,)
    loop.finish()


def test_one_request_may_use_the_whole_budget() -> None:
    loop = create_loop(budget_tokens=50, context_length=1000)
    loop.add(create_sequence(num_prompt_tokens=10, max_tokens=40))
    loop.finish()


def test_stats_tell_who_runs_who_waits_and_the_bytes() -> None:
    loop = create_loop(max_batch_size=1)
    for i in (1, 2):
        loop.add(create_sequence(i, num_prompt_tokens=4, max_tokens=9))
    loop.step()
    stats = loop.scheduler.stats()
    assert (stats.num_running, stats.num_waiting) == (1, 1)
    assert (stats.kv_used_bytes, stats.kv_reserved_bytes, stats.kv_budget_bytes) == (80, 80, 40960)


def test_a_steps_time_ends_when_it_was_read_not_when_the_next_was_dispatched() -> None:
    clock, budget = FakeClock(), create_budget()
    scheduler = Scheduler(create_memory(), budget, 4, clock)
    scheduler.add(create_sequence(num_prompt_tokens=10, max_tokens=2))
    scheduler.schedule()
    read_seconds, clock.now = clock.now, clock.now + 5.0  # nothing to read; the dispatch takes long
    scheduler.update([], read_seconds)
    scheduler.schedule()
    read_seconds, clock.now = clock.now + 1.0, clock.now + 3.0
    scheduler.update([], read_seconds)
    assert budget.seconds_per_row == pytest.approx(0.75 * 6.0 / 10)  # of the average row, without plain steps


# --- fairness ----------------------------------------------------------------------------------


def test_one_clients_hundred_requests_do_not_keep_anothers_one_waiting() -> None:
    loop = create_loop(max_batch_size=2)
    for i in range(1, 21):
        loop.add(create_sequence(i, num_prompt_tokens=10, max_tokens=5, client_id="many"))
    loop.step()
    loop.add(create_sequence(21, num_prompt_tokens=30, max_tokens=5, client_id="one"))
    while not loop.results["r21"].is_done:
        loop.step()
    assert sum(result.is_done for result in loop.results.values()) <= 4


def test_a_better_priority_is_admitted_first() -> None:
    loop = create_loop(max_batch_size=1)
    loop.add(create_sequence(1, max_tokens=2, priority=5, arrival_seconds=100))
    loop.add(create_sequence(2, max_tokens=2, priority=-5, arrival_seconds=100))
    loop.add(create_sequence(3, max_tokens=2, arrival_seconds=100))
    loop.finish()
    first = [s.sequence_id for plan in loop.plans for s in plan.spans if s.samples and s.sample_index == 0]
    assert first == [2, 3, 1]


def test_what_is_computed_again_after_a_preemption_is_not_charged_again() -> None:
    sequence = create_sequence(num_prompt_tokens=10)
    assert sequence.num_new_rows(6) == 6
    sequence.dispatch(6)
    sequence.restart()
    assert sequence.num_new_rows(4) == 0
    assert sequence.num_new_rows(8) == 2
