from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.observability.histogram import COUNT_BOUNDS, SECONDS_BOUNDS, Histogram, RateWindow


@given(st.lists(st.floats(2e-5, 1e4), min_size=1, max_size=200), st.sampled_from([0.5, 0.9, 0.99, 1.0]))
def test_percentiles_are_within_a_bucket(values: list[float], fraction: float) -> None:
    histogram = Histogram()
    for value in values:
        histogram.add(value)
    rank = max(1, -int(-fraction * len(values) // 1))
    assert histogram.percentile(fraction) == pytest.approx(sorted(values)[rank - 1], rel=0.03)


def test_extremes_are_kept() -> None:
    histogram = Histogram()
    for value in (0.0, 1e9):
        histogram.add(value)
    assert histogram.percentile(0.5) <= 2e-5
    assert histogram.percentile(1.0) > 1e4
    assert histogram.max_seconds == 1e9


def test_snapshot() -> None:
    histogram = Histogram()
    assert histogram.snapshot() == {"count": 0, "mean": 0.0, "max": 0.0, "p50": 0.0, "p90": 0.0, "p99": 0.0}
    for value in (1.0, 3.0):
        histogram.add(value)
    snapshot = histogram.snapshot()
    assert (snapshot["count"], snapshot["mean"], snapshot["max"]) == (2, 2.0, 3.0)
    assert snapshot["p50"] == pytest.approx(1.0, rel=0.03)
    assert snapshot["p99"] == pytest.approx(3.0, rel=0.03)


def test_a_rate_is_events_by_time_and_forgets() -> None:
    window = RateWindow(window_seconds=10)
    for second in range(100, 120):
        window.add(5, second)
    assert window.per_second(119.99) == pytest.approx(5.0, rel=0.01)
    assert window.per_second(131) == 0.0
    assert window.total == 100


def test_a_young_burst_is_not_diluted() -> None:
    window = RateWindow(window_seconds=10)
    window.add(8, 50.0)
    window.add(8, 50.5)
    window.add(0, 51.0)
    assert window.per_second(50.6) == 16.0
    assert window.per_second(52.0) == 8.0


@given(st.lists(st.tuples(st.integers(0, 100), st.floats(0, 3)), max_size=60))
def test_the_window_stays_small(steps: list[tuple[int, float]]) -> None:
    window, now_seconds = RateWindow(window_seconds=10), 0.0
    for count, pause in steps:
        now_seconds += pause
        window.add(count, now_seconds)
        assert len(window._seconds) <= 11
        assert window.per_second(now_seconds) >= 0
    assert window.total == sum(count for count, _ in steps)


@given(st.lists(st.floats(0, 1e5), max_size=100), st.sampled_from(SECONDS_BOUNDS))
def test_a_bound_tells_exactly_how_many_do_not_exceed_it(values: list[float], bound: float) -> None:
    histogram = Histogram()
    for value in [*values, bound]:
        histogram.add(value)
    assert histogram.cumulated([bound]) == [(bound, 1 + sum(value <= bound for value in values))]


def test_bounds_are_round_and_in_order() -> None:
    assert list(SECONDS_BOUNDS) == sorted(set(SECONDS_BOUNDS))
    assert {1e-5, 0.001, 0.0316, 1.0, 1000.0, 10_000.0} <= set(SECONDS_BOUNDS)
    assert max(len(str(bound)) for bound in SECONDS_BOUNDS) <= 8


def test_counts_have_buckets_of_their_own() -> None:
    histogram = Histogram(COUNT_BOUNDS)
    for rows in (1, 2, 3, 4, 10**6):
        histogram.add(rows)
    assert histogram.cumulated([1, 2, 4]) == [(1, 1), (2, 2), (4, 4)]
    assert (histogram.count, histogram.total_seconds) == (5, 1_000_010)
    assert histogram.percentile(1.0) == 10**6


def test_a_copy_is_on_its_own() -> None:
    histogram = Histogram()
    histogram.add(2.0)
    copy = histogram.copy()
    histogram.add(1.0)
    assert copy.snapshot() == {"count": 1, "mean": 2.0, "max": 2.0, "p50": 2.0, "p90": 2.0, "p99": 2.0}
    assert histogram.count == 2
