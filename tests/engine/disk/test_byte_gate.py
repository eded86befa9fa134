from __future__ import annotations

import threading

from api.engine.disk.byte_gate import ByteGate


def test_lets_pass_what_fits_and_one_that_never_would() -> None:
    gate = ByteGate(10)
    assert gate.try_acquire(6) and not gate.try_acquire(5) and gate.try_acquire(4)
    gate.release(10)
    assert gate.try_acquire(99) and not gate.try_acquire(1)


def test_waits_for_room() -> None:
    gate = ByteGate(10)
    assert gate.try_acquire(10)
    assert not gate.acquire(1, timeout_seconds=0.001)
    timer = threading.Timer(0.01, gate.release, [10])
    timer.start()
    assert gate.acquire(1, timeout_seconds=5)
    timer.join()
