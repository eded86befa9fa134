"""Steps that raise: the culprit fails, and nobody else loses a token."""

from __future__ import annotations

import pytest

from api.errors import OutOfMemoryError, ServerSideError
from api.step_plan import SampledToken, StepPlan
from api.types import FinishReason
from tests.engine.factories import create_loop, create_sequence
from tests.engine.fake_generator import FakeGenerator, StepFailed

pytestmark = pytest.mark.usefixtures("tiny_classes")


@pytest.mark.parametrize("raises_when_read", [False, True])
@pytest.mark.parametrize("num_steps", [0, 1, 4])
def test_only_the_culprit_fails(num_steps: int, raises_when_read: bool) -> None:
    loop = create_loop(max_step_tokens=16)
    loop.generator.raises_when_read = raises_when_read
    for i in range(1, 6):
        loop.add(create_sequence(i, num_prompt_tokens=10 * i, max_tokens=20))
    for _ in range(num_steps):
        loop.step()
    loop.generator.poison = {3}
    loop.finish()
    failed = [request_id for request_id, result in loop.results.items() if result.error]
    assert failed == ["r3"]
    error = loop.results["r3"].error
    assert isinstance(error, ServerSideError) and error.status == 500


def test_suspects_run_alone_until_each_has_a_token_and_then_together() -> None:
    loop = create_loop()
    for i in (1, 2, 3):
        loop.add(create_sequence(i, num_prompt_tokens=4, max_tokens=20))
    for _ in range(3):
        loop.step()
    loop.generator.fails_next = True
    loop.step()
    sizes = [len(loop.step().spans) for _ in range(10)]
    assert sizes[:6] == [1, 0, 1, 0, 1, 0]
    assert sizes[6:] == [3, 3, 3, 3]
    loop.finish()
    assert all(result.error is None for result in loop.results.values())


def test_a_failure_that_passes_costs_nobody_an_answer() -> None:
    loop = create_loop(budget_tokens=200, context_length=100)
    for i in range(1, 9):
        loop.add(create_sequence(i, num_prompt_tokens=3 * i, max_tokens=30))
    for _ in range(6):
        loop.step()
        loop.step()
        loop.generator.fails_next = len(loop.plans[-1].spans) > 1
    loop.finish()
    assert all(result.error is None for result in loop.results.values())


class NarrowGenerator(FakeGenerator):
    """A device that never has room for more than one sequence."""

    def step(self, plan: StepPlan) -> list[SampledToken]:
        self.fails_next = len(plan.spans) > 1
        return super().step(plan)


def test_steps_that_fail_only_together_still_come_to_an_end() -> None:
    loop = create_loop()
    loop.generator = NarrowGenerator()
    for i in (1, 2, 3):
        loop.add(create_sequence(i, num_prompt_tokens=50, max_tokens=10))
    loop.finish()
    assert all(result.finish_reason is FinishReason.LENGTH for result in loop.results.values())


def test_a_request_that_was_not_in_the_step_is_no_suspect() -> None:
    loop = create_loop(max_batch_size=2)
    for i in (1, 2, 3):
        loop.add(create_sequence(i, max_tokens=5))
    loop.generator.poison = {1, 2}
    loop.finish()
    assert loop.results["r3"].error is None
    assert not loop.sequences["r3"].is_suspect


def test_an_error_with_a_code_of_its_own_reaches_the_client_as_it_is() -> None:
    loop = create_loop()
    loop.add(create_sequence())
    loop.scheduler.schedule()
    (output,) = loop.scheduler.recover(OutOfMemoryError("full"))
    assert isinstance(output.error, OutOfMemoryError)


def test_running_out_of_memory_is_the_servers_state_not_a_bug() -> None:
    loop = create_loop()
    loop.add(create_sequence())
    loop.scheduler.schedule()
    (output,) = loop.scheduler.recover(MemoryError())
    assert output.error is not None
    assert (output.error.status, output.error.code) == (503, "out_of_kv_memory")
    assert output.error.retry_after_seconds


def test_an_error_with_nobody_to_blame_is_raised_the_second_time() -> None:
    loop = create_loop(cached_tokens=100)
    loop.add(create_sequence(num_prompt_tokens=10))
    while loop.scheduler.stats().num_running or not loop.plans:
        loop.step()
    error = StepFailed()
    plan = loop.scheduler.schedule()  # what the answer left is to be saved
    assert plan.saves and not plan.spans
    assert loop.scheduler.recover(error) == []
    assert loop.scheduler.stats().prefix_cache.num_blocks == 0
    with pytest.raises(StepFailed):
        loop.scheduler.recover(error)


def test_a_plan_says_who_is_released_and_which_of_them_have_ended() -> None:
    loop = create_loop(max_batch_size=3)
    for i in (1, 2, 3, 4):
        loop.add(create_sequence(i, max_tokens=20))
    loop.step()
    loop.generator.fails_next = True
    loop.step()
    loop.cancel("r2")
    loop.cancel("r4")  # it has never had a slot
    plan = loop.step()
    assert sorted(plan.released) == [1, 2, 3, 4] and sorted(plan.ended) == [2, 4]
    loop.finish()
