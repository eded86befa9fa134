from __future__ import annotations

from types import SimpleNamespace

import pytest

from api.serving.exit_codes import ENGINE_DEAD_CODE
from api.serving.restarts import RestartPolicy

SEGFAULT = -11
HOURS = 10_000.0


def create_policy(num_workers: int = 1) -> tuple[RestartPolicy, SimpleNamespace]:
    time = SimpleNamespace(seconds=0.0)
    return RestartPolicy(num_workers, lambda: time.seconds), time


def test_a_worker_that_crashes_at_the_very_start_gets_no_successor() -> None:
    policy, _ = create_policy()
    assert policy.pause_seconds(SEGFAULT, 1.0) is None


@pytest.mark.parametrize("exit_code", [ENGINE_DEAD_CODE, SEGFAULT, 1])
def test_what_has_worked_for_long_is_replaced_at_once_and_each_time(exit_code: int) -> None:
    policy, _ = create_policy()
    assert [policy.pause_seconds(exit_code, HOURS) for _ in range(100)] == [0.0] * 100


def test_an_engine_that_dies_again_soon_is_replaced_ever_more_slowly_but_not_for_ever() -> None:
    policy, _ = create_policy()
    assert policy.pause_seconds(ENGINE_DEAD_CODE, HOURS) == 0.0
    pauses = [policy.pause_seconds(ENGINE_DEAD_CODE, 1.0) for _ in range(6)]
    assert pauses == [1.0, 2.0, 4.0, 8.0, 16.0, None]


def test_a_crash_right_after_a_restart_is_tried_again_too() -> None:
    policy, _ = create_policy()
    policy.pause_seconds(SEGFAULT, HOURS)
    assert policy.pause_seconds(SEGFAULT, 1.0) == 1.0


def test_short_lives_of_long_ago_are_forgotten() -> None:
    policy, time = create_policy()
    for _ in range(20):
        time.seconds += 601
        assert policy.pause_seconds(ENGINE_DEAD_CODE, 1.0) == 1.0


def test_each_worker_has_tries_of_its_own_and_no_pause_is_endless() -> None:
    policy, _ = create_policy(num_workers=4)
    pauses = [policy.pause_seconds(ENGINE_DEAD_CODE, 1.0) for _ in range(21)]
    assert pauses[-1] is None
    assert pauses[-2] == 30.0
