from __future__ import annotations

from benchmarks.device.time_budget import Deadline, TimeBudget
from tests.engine.fake_generator import FakeClock


def test_a_part_gets_its_share_and_what_the_ones_before_left() -> None:
    clock = FakeClock()
    budget = TimeBudget(100.0, clock)
    share = budget.share([1.0, 3.0], floor_seconds=5)
    assert share is not None
    assert share.aim_seconds == 25.0
    clock.now += 10.0
    last = budget.share([3.0], floor_seconds=5)
    assert last is not None
    assert (last.aim_seconds, last.limit_seconds) == (90.0, 90.0)


def test_patience_ends_with_all_of_the_time() -> None:
    budget = TimeBudget(100.0, FakeClock())
    share = budget.share([1.0, 9.0], floor_seconds=5)
    assert share is not None
    assert 10.0 == share.aim_seconds < share.limit_seconds < 100.0
    large = budget.share([9.0, 1.0], floor_seconds=5)
    assert large is not None
    assert large.limit_seconds == 100.0


def test_a_part_is_not_begun_with_less_than_it_needs() -> None:
    clock = FakeClock()
    budget = TimeBudget(10.0, clock)
    clock.now += 6.0
    assert budget.share([1.0], floor_seconds=5) is None
    few = budget.share([1.0, 100.0], floor_seconds=4)
    assert few is not None
    assert few.aim_seconds == 4.0
    clock.now += 60.0
    assert budget.left_seconds == 0.0


def test_a_deadline_is_cut_into_portions_of_what_is_left() -> None:
    clock = FakeClock()
    deadline = Deadline(clock() + 40.0, clock)
    half = deadline.portion(0.5)
    assert half.left_seconds == 20.0
    clock.now += 30.0
    assert (half.left_seconds, deadline.left_seconds) == (0.0, 10.0)
