"""The life of a ServerHandler: load, drain, stop, death; real threads around an engine without a model."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import pytest
from structlog.testing import capture_logs

from api.errors import NotServingError, ServerSideError, StartupError
from api.events import Failed
from api.server_handler import ServerHandler
from tests.fakes.serving_handler import assert_nothing_left, events_of, run, serving, text_of, until
from tests.threads.fakes import FakeEngine, create_config, create_engine, create_request


@pytest.fixture(scope="module", autouse=True)
def quiet() -> Iterator[None]:
    """Printing the tracebacks that are provoked here would take most of the time."""
    with capture_logs():
        yield


def test_drain_lets_live_requests_finish_and_refuses_new_ones() -> None:
    engine = create_engine()

    async def test() -> None:
        async with serving(engine) as handler:
            engine.generator.gate.clear()
            channel = handler.submit(create_request("a"))
            drain = asyncio.create_task(handler.drain(5))
            await asyncio.sleep(0)
            assert handler.health.status == "draining"
            with pytest.raises(NotServingError):
                handler.submit(create_request("b"))
            assert not drain.done()
            engine.generator.gate.set()
            await drain
            assert text_of(await events_of(channel)) == "hello"

    run(test)


def test_drain_fails_what_takes_too_long() -> None:
    engine = create_engine()

    async def test() -> None:
        async with serving(engine) as handler:
            engine.generator.gate.clear()
            channel = handler.submit(create_request("a"))
            await handler.drain(0.01)
            assert isinstance((await events_of(channel))[-1], Failed)
            engine.generator.gate.set()
        assert_nothing_left(handler, engine)

    run(test)


def test_stop_fails_live_requests_and_ends_the_threads() -> None:
    engine = create_engine()

    async def test() -> None:
        async with serving(engine) as handler:
            engine.generator.gate.clear()
            channel = handler.submit(create_request("a"))
            stopping = asyncio.create_task(handler.stop())
            assert isinstance((await events_of(channel))[-1], Failed)
            engine.generator.gate.set()
            await stopping
        assert not {"processing", "batch", "results"} & {thread.name for thread in threading.enumerate()}

    run(test)


@pytest.mark.parametrize("error", [RuntimeError("scheduler broke"), SystemExit(3)])
def test_dead_batch_thread_fails_everybody(error: BaseException) -> None:
    engine = create_engine()

    async def test() -> None:
        async with serving(engine) as handler:
            engine.generator.gate.clear()
            channels = [handler.submit(create_request(str(i), "x" * 90)) for i in range(3)]
            engine.scheduler.schedule_error = error
            engine.generator.gate.set()
            for channel in channels:
                last = (await events_of(channel))[-1]
                assert isinstance(last, Failed)
                assert isinstance(last.error, ServerSideError)
            assert handler.health.status == "dead"
            assert "batch" in handler.health.detail
            with pytest.raises(NotServingError):
                handler.submit(create_request("later"))
            await handler.drain(5)
        assert len(handler._results) == 0
        assert not handler._processing._cancelled

    run(test)


def test_stalled_step_turns_the_server_dead() -> None:
    engine = create_engine()

    async def test() -> None:
        async with serving(engine, stall_timeout_seconds=0.05) as handler:
            engine.generator.gate.clear()
            events = await events_of(handler.submit(create_request("a")))
            assert isinstance(events[-1], Failed)
            assert handler.health.status == "dead"
            assert "no progress" in handler.health.detail
            engine.generator.gate.set()
        assert_nothing_left(handler, engine)

    run(test)


def test_a_slow_server_that_moves_is_no_stall() -> None:
    engine, clock = create_engine(), SimpleNamespace(now_seconds=0.0)
    clock.monotonic = lambda: clock.now_seconds

    def slow_step(timeout: float) -> None:
        clock.now_seconds += 60.0
        threading.Event().wait(0.001)  # lets the event loop look in between

    async def test() -> None:
        async with serving(engine, stall_timeout_seconds=100.0) as handler:
            with (
                patch("api.threads.worker.time", clock),
                patch.object(engine.generator.gate, "wait", slow_step),
            ):
                async for _ in handler.submit(create_request("a", "x" * 20)):
                    handler._watchdog._check()
            handler._watchdog.disarm()
            assert clock.now_seconds >= 20 * 60.0
            assert handler.health.status == "ok"

    run(test)


def test_watches_only_while_requests_are_live() -> None:
    async def test() -> None:
        async with serving(create_engine()) as handler:
            assert not handler._watchdog.is_armed
            channel = handler.submit(create_request("a"))
            assert handler._watchdog.is_armed
            await events_of(channel)
            assert not handler._watchdog.is_armed

    run(test)


def test_loading_refuses_then_serves() -> None:
    engine, may_load = create_engine(), threading.Event()

    def load(config: Any, report: Callable[[str], None]) -> FakeEngine:
        report("reading weights")
        assert may_load.wait(5)
        return engine

    async def test() -> None:
        handler = ServerHandler(create_config(served_model_names=("gpt", "tiny")), load)
        assert handler.stats()["status"] == "loading"
        handler.start()
        await until(lambda: handler.health.detail == "reading weights")
        with pytest.raises(NotServingError):
            handler.submit(create_request("a"))
        with pytest.raises(NotServingError):
            _ = handler.served_model
        assert handler.stats()["model"] == {}
        may_load.set()
        await handler.wait_loaded()
        assert handler.health.status == "ok"
        assert handler.served_model.names == ("gpt", "tiny", "folder/tiny", "model")
        assert handler.served_model.context_length == 128
        await handler.stop()

    run(test)


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (StartupError("no such folder"), "no such folder"),
        (MemoryError(), "Too little memory"),
        (ValueError("bad\nheader"), "ValueError: bad header"),
        (SystemExit(1), "SystemExit"),
    ],
)
def test_failed_load_is_one_clear_line(error: BaseException, message: str) -> None:
    def load(config: Any, report: Callable[[str], None]) -> FakeEngine:
        raise error

    async def test() -> None:
        handler = ServerHandler(create_config(), load)
        handler.start()
        with pytest.raises(StartupError, match=message) as caught:
            await handler.wait_loaded()
        assert "\n" not in str(caught.value)
        assert handler.health.status == "dead"
        with pytest.raises(NotServingError):
            handler.submit(create_request("a"))
        await handler.stop()

    run(test)


def test_leaving_the_wait_does_not_cancel_the_load() -> None:
    engine, may_load = create_engine(), threading.Event()

    def load(config: Any, report: Callable[[str], None]) -> FakeEngine:
        may_load.wait(5)
        return engine

    async def test() -> None:
        handler = ServerHandler(create_config(), load)
        handler.start()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(handler.wait_loaded(), 0.01)
        may_load.set()
        await handler.wait_loaded()
        assert text_of(await events_of(handler.submit(create_request("a")))) == "hello"
        await handler.stop()

    run(test)


def test_a_death_is_told_and_a_failed_load_is_none() -> None:
    engine = create_engine()

    async def test() -> None:
        async with serving(engine) as handler:
            waiting = asyncio.create_task(handler.wait_dead())
            engine.scheduler.schedule_error = RuntimeError("scheduler broke")
            await events_of(handler.submit(create_request("a")))
            await waiting
            assert handler.served_model.sampling_defaults == engine.sampling_defaults

    run(test)
