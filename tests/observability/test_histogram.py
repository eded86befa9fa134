from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.observability.histogram import Histogram, RateWindow


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
