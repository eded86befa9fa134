from __future__ import annotations

import sys
import threading
import time
from types import SimpleNamespace
from unittest.mock import patch

import pytest

from api.threads.worker import Heartbeat, Worker, cpu_seconds_by_thread


@pytest.mark.parametrize("error", [ValueError("broken"), SystemExit(1)])
def test_a_death_is_reported(error: BaseException) -> None:
    def body() -> None:
        raise error

    reasons: list[str] = []
    worker = Worker("batch", body, reasons.append)
    worker.start()
    assert worker.join(5)
    assert reasons == [f"the batch thread died: {type(error).__name__}: {error}"]


def test_a_normal_end_is_no_death() -> None:
    names: list[str] = []
    reasons: list[str] = []
    worker = Worker("results", lambda: names.append(threading.current_thread().name), reasons.append)
    worker.start()
    assert worker.join(5)
    assert (names, reasons) == (["results"], [])


def test_join_tells_of_a_busy_thread() -> None:
    gate = threading.Event()

    def body() -> None:
        gate.wait(5)

    worker = Worker("batch", body, lambda reason: None)
    worker.start()
    assert not worker.join(0.01)
    gate.set()
    assert worker.join(5)


def test_heartbeat_measures_the_unit_under_way() -> None:
    clock = SimpleNamespace(now_seconds=5.0)
    clock.monotonic = lambda: clock.now_seconds
    beat = Heartbeat("batch")
    with patch("api.threads.worker.time", clock):
        assert beat.busy_seconds() == 0.0
        beat.beat()
        clock.now_seconds = 7.0
        assert beat.busy_seconds() == 2.0
        beat.beat()
        assert beat.busy_seconds() == 0.0
        clock.now_seconds = 9.0
        beat.rest()
        assert beat.busy_seconds() == 0.0


@pytest.mark.skipif(sys.platform != "linux", reason="clocks of other threads")
def test_each_live_threads_processor_time_is_known() -> None:
    gate, busy = threading.Event(), threading.Event()

    def body() -> None:
        end_seconds = time.thread_time() + 0.02
        while time.thread_time() < end_seconds:
            pass
        busy.set()
        gate.wait(5)

    worker = Worker("batch", body, lambda reason: None)
    assert "batch" not in cpu_seconds_by_thread([worker])
    worker.start()
    assert busy.wait(5)
    seconds = cpu_seconds_by_thread([worker])
    assert seconds["batch"] >= 0.02 and seconds["main"] > 0
    gate.set()
    assert worker.join(5)
    assert "batch" not in cpu_seconds_by_thread([worker])
