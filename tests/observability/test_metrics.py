from __future__ import annotations

import json
import threading

from api.observability.metrics import Metrics


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
