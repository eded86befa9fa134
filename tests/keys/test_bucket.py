import pytest

from api.keys.bucket import Bucket
from tests.keys.clocks import Clock


def test_it_refills_evenly_and_never_runs_over() -> None:
    clock = Clock()
    bucket = Bucket(60, clock)
    bucket.take(60)
    assert (bucket.level, bucket.seconds_until(1)) == (0, 1)
    clock.seconds += 10
    assert bucket.level == pytest.approx(10)
    clock.seconds += 1000
    assert bucket.level == 60


def test_a_debt_is_waited_for() -> None:
    clock = Clock()
    bucket = Bucket(60, clock)
    bucket.take(90)
    assert bucket.seconds_until(1) == pytest.approx(31)
    clock.seconds += 31
    assert bucket.seconds_until(1) == pytest.approx(0)


def test_what_was_too_much_is_given_back() -> None:
    bucket = Bucket(10, Clock())
    bucket.take(5)
    bucket.take(-2)
    assert bucket.level == 7
