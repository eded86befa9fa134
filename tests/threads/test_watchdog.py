from __future__ import annotations

import asyncio
from types import SimpleNamespace
from unittest.mock import patch

from api.threads.watchdog import Watchdog
from api.threads.worker import Heartbeat


def test_names_the_thread_that_hangs() -> None:
    async def test() -> None:
        busy, idle = Heartbeat("batch"), Heartbeat("results")
        reasons: list[str] = []
        busy.beat()
        watchdog = Watchdog((idle, busy), 0.02, reasons.append)
        watchdog.arm()
        await asyncio.sleep(0.06)
        assert len(reasons) == 1
        assert "the batch thread" in reasons[0]
        assert not watchdog.is_armed

    asyncio.run(test())


def test_waiting_threads_and_progress_are_fine() -> None:
    async def test() -> None:
        clock = SimpleNamespace(now_seconds=0.0)
        clock.monotonic = lambda: clock.now_seconds
        busy = Heartbeat("batch")
        reasons: list[str] = []
        watchdog = Watchdog((busy, Heartbeat("results")), 100.0, reasons.append)
        with patch("api.threads.worker.time", clock):
            for _ in range(3):
                busy.beat()
                clock.now_seconds += 90.0
                watchdog._check()
            busy.rest()
            clock.now_seconds += 1000.0
            watchdog._check()
        assert reasons == []
        assert watchdog.is_armed
        watchdog.disarm()

    asyncio.run(test())


def test_checks_no_more_often_than_needed() -> None:
    async def test() -> None:
        beat = Heartbeat("batch")
        watchdog = Watchdog((beat,), 100.0, lambda reason: None)
        loop = asyncio.get_running_loop()
        with patch.object(loop, "call_later", wraps=loop.call_later) as call_later:
            watchdog.arm()
            watchdog.arm()
            watchdog._check()
            with patch.object(Heartbeat, "busy_seconds", lambda self: 40.0):
                watchdog._check()
            with patch.object(Heartbeat, "busy_seconds", lambda self: 99.9):
                watchdog._check()
        assert [call.args[0] for call in call_later.call_args_list] == [100.0, 100.0, 60.0, 5.0]
        watchdog.disarm()

    asyncio.run(test())


def test_disarmed_and_unlimited_watchdogs_stay_silent() -> None:
    async def test() -> None:
        beat = Heartbeat("batch")
        reasons: list[str] = []
        beat.beat()
        disarmed, unlimited = Watchdog((beat,), 0.01, reasons.append), Watchdog((beat,), 0.0, reasons.append)
        disarmed.arm()
        disarmed.disarm()
        unlimited.arm()
        await asyncio.sleep(0.03)
        assert reasons == []
        assert not unlimited.is_armed

    asyncio.run(test())
