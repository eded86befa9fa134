from __future__ import annotations

import threading
import time

import pytest

from api.threads.worker import Heartbeat, Worker


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
    worker = Worker("batch", lambda: gate.wait(5) and None, lambda reason: None)
    worker.start()
    assert not worker.join(0.01)
    gate.set()
    assert worker.join(5)


def test_heartbeat_measures_the_unit_under_way() -> None:
    beat = Heartbeat("batch")
    assert beat.busy_seconds() == 0.0
    beat.beat()
    time.sleep(0.01)
    assert 0.01 <= beat.busy_seconds() < 5
    beat.beat()
    assert beat.busy_seconds() < 0.01
    beat.rest()
    assert beat.busy_seconds() == 0.0
