from __future__ import annotations

import json
import threading
import time
import tracemalloc
from collections.abc import Callable

import pytest

from api.observability.metrics import Metrics
from api.stats import StepTimes


class Clock:
    now_seconds = 100.0

    def __call__(self) -> float:
        return self.now_seconds


def test_requests_by_outcome() -> None:
    metrics = Metrics()
    for _ in range(5):
        metrics.request_received()
    metrics.request_ended("stop")
    metrics.request_ended("tool_calls")
    metrics.request_ended("cancelled")
    metrics.request_failed("internal_error")
    metrics.request_refused("rate_limit_exceeded")
    counts = metrics.snapshot()["requests"]
    assert counts == {
        "received": 5,
        "stop": 1,
        "length": 0,
        "tool_calls": 1,
        "cancelled": 1,
        "failed": 1,
        "refused": 1,
        "failed_by_code": {"internal_error": 1},
        "refused_by_code": {"rate_limit_exceeded": 1},
    }


def test_rates_now_and_in_total() -> None:
    clock = Clock()
    metrics = Metrics(clock)
    for _ in range(4):
        clock.now_seconds += 0.5
        metrics.step_done(0.5, num_prompt_tokens=10, num_output_tokens=4, num_running=4)
    tokens = metrics.snapshot()["tokens"]
    assert (tokens["prompt_total"], tokens["output_total"]) == (40, 16)
    assert (tokens["prompt_per_busy_second"], tokens["output_per_busy_second"]) == (20.0, 8.0)
    assert tokens["output_per_second"] == 8.0
    clock.now_seconds += 60
    later = metrics.snapshot()
    assert later["tokens"]["output_per_second"] == 0.0
    assert later["tokens"]["output_per_busy_second"] == 8.0
    assert later["uptime_seconds"] == 62.0


def test_peak_is_the_largest_batch() -> None:
    metrics = Metrics()
    for num_running in (1, 7, 3):
        metrics.step_done(0.1, num_prompt_tokens=0, num_output_tokens=1, num_running=num_running)
    assert metrics.snapshot()["peak_running"] == 7


def test_snapshot_is_a_copy_and_json() -> None:
    metrics = Metrics()
    before = metrics.snapshot()
    metrics.request_refused("x")
    metrics.first_token(0.2)
    assert before["requests"]["refused_by_code"] == {}
    assert json.loads(json.dumps(metrics.snapshot()))["time_to_first_token_seconds"]["count"] == 1


def test_counts_are_exact_under_many_threads() -> None:
    metrics = Metrics()

    def work() -> None:
        for _ in range(500):
            metrics.request_received()
            metrics.inter_token(0.01)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    snapshot = metrics.snapshot()
    assert snapshot["requests"]["received"] == snapshot["inter_token_seconds"]["count"] == 2000


def test_a_requests_way_in_and_out() -> None:
    metrics = Metrics()
    metrics.prompt_accepted(7)
    metrics.prompt_accepted(5)
    metrics.admitted(0.5)
    metrics.answered(3.0)
    snapshot = metrics.snapshot()
    assert snapshot["tokens"]["accepted_prompt_total"] == 12
    assert (snapshot["queue_seconds"]["count"], snapshot["queue_seconds"]["max"]) == (1, 0.5)
    assert (snapshot["end_to_end_seconds"]["count"], snapshot["end_to_end_seconds"]["max"]) == (1, 3.0)


def test_rows_tokens_and_times_of_steps() -> None:
    metrics = Metrics()
    times = StepTimes(plan_seconds=0.1, read_seconds=0.2, dispatch_seconds=0.3, update_seconds=0.4)
    for num_rows in (10, 30, 0):  # the last one only reads back
        metrics.step_done(
            1.0, num_prompt_tokens=0, num_output_tokens=4, num_running=1, num_rows=num_rows, times=times
        )
    snapshot = metrics.snapshot()
    assert snapshot["step_rows"] == {"count": 2, "mean": 20.0, "max": 30}
    assert snapshot["step_tokens"] == {"count": 2, "mean": 4.0, "max": 4}
    parts = snapshot["step_parts_seconds"]
    assert parts == {
        "plan": pytest.approx(0.3),
        "read": pytest.approx(0.6),
        "dispatch": pytest.approx(0.9),
        "update": pytest.approx(1.2),
    }
    assert sum(parts.values()) == pytest.approx(3 * times.total_seconds)


def test_histograms_are_copies() -> None:
    metrics = Metrics()
    before = metrics.histograms()
    metrics.inter_token(0.1)
    assert (before.inter_token.count, metrics.histograms().inter_token.count) == (0, 1)


def observations(metrics: Metrics) -> dict[str, Callable[[], None]]:
    """What is called for each token and for each step."""
    step = {"num_prompt_tokens": 3, "num_output_tokens": 4, "num_running": 4, "num_rows": 7}
    times = StepTimes(0.1, 0.2, 0.3, 0.4)
    return {
        "token": lambda: metrics.inter_token(0.0123),
        "step": lambda: metrics.step_done(0.05, **step, times=times),  # type: ignore[arg-type]
    }


@pytest.mark.parametrize("name", ["token", "step"])
def test_nothing_grows_with_tokens_and_steps(name: str) -> None:
    observe = observations(Metrics(lambda: 5.0))[name]
    for _ in range(1000):  # lets numbers outgrow those that Python keeps ready
        observe()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for _ in range(5000):
            observe()
        grown = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert grown < 2000


@pytest.mark.parametrize(("name", "limit_seconds"), [("token", 10e-6), ("step", 50e-6)])
def test_observing_costs_microseconds(name: str, limit_seconds: float) -> None:
    """Far above what it takes; a loop over buckets or an allocation for each label would not pass."""
    observe = observations(Metrics())[name]

    def seconds_each() -> float:
        started_seconds = time.perf_counter()
        for _ in range(2000):
            observe()
        return (time.perf_counter() - started_seconds) / 2000

    assert min(seconds_each() for _ in range(5)) < limit_seconds
