from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable

import pytest
import structlog
from starlette.requests import ClientDisconnect
from starlette.types import Message

from api.errors import QueueFullError, RequestTimeoutError
from api.http.transport.body_line import BodyLine, Checkpoint, is_large

LARGE, MEDIUM = 10_000_000, 100_000


async def stays() -> Message:
    await asyncio.Event().wait()
    raise AssertionError


async def leaves() -> Message:
    return {"type": "http.disconnect"}


class Gate:
    """Work that goes on when it is let."""

    def __init__(self) -> None:
        self.is_open = threading.Event()
        self.has_begun = threading.Event()
        self.stages: list[str] = []

    def __call__(self, check_wanted: Checkpoint) -> str:
        self.has_begun.set()
        assert self.is_open.wait(10)
        check_wanted()
        self.stages.append("after")
        return "done"


def run(test: Callable[[BodyLine, Gate], Awaitable[None]], timeout_seconds: float | None = None) -> Gate:
    gate = Gate()
    line = BodyLine(max_bytes=3 * LARGE, timeout_seconds=timeout_seconds)

    async def limited() -> None:
        try:
            await asyncio.wait_for(test(line, gate), 10)
        finally:
            gate.is_open.set()

    asyncio.run(limited())
    return gate


async def begun(gate: Gate) -> None:
    await asyncio.to_thread(gate.has_begun.wait, 10)


def test_what_the_work_returns_and_raises_comes_back() -> None:
    def fails(check_wanted: Checkpoint) -> None:
        raise ValueError("no")

    async def test(line: BodyLine, gate: Gate) -> None:
        assert await line.run(LARGE, stays, lambda _: 7) == 7
        with pytest.raises(ValueError, match="no"):
            await line.run(LARGE, stays, fails)

    run(test)


def test_what_is_logged_beside_the_event_loop_has_the_requests_name() -> None:
    async def test(line: BodyLine, gate: Gate) -> None:
        with structlog.contextvars.bound_contextvars(x_request_id="a"):
            bound = await line.run(LARGE, stays, lambda _: structlog.contextvars.get_contextvars())
        assert bound == {"x_request_id": "a"}

    run(test)


def test_large_bodies_wait_in_line_and_shorter_ones_pass_them() -> None:
    async def test(line: BodyLine, gate: Gate) -> None:
        first = asyncio.create_task(line.run(LARGE, stays, gate))
        await begun(gate)
        second = asyncio.create_task(line.run(LARGE, stays, lambda _: "second"))
        assert await line.run(MEDIUM, stays, lambda _: threading.current_thread()) is not None
        assert not second.done()
        gate.is_open.set()
        assert [await first, await second] == ["done", "second"]

    run(test)


def test_a_body_whose_client_leaves_the_line_is_not_parsed() -> None:
    async def test(line: BodyLine, gate: Gate) -> None:
        first = asyncio.create_task(line.run(LARGE, stays, gate))
        await begun(gate)
        parsed: list[int] = []
        with pytest.raises(ClientDisconnect):
            await line.run(LARGE, leaves, lambda _: parsed.append(1))
        gate.is_open.set()
        await first
        assert await line.run(LARGE, stays, lambda _: 7) == 7
        assert parsed == []

    run(test)


def test_a_body_whose_client_leaves_meanwhile_is_parsed_no_further() -> None:
    async def test(line: BodyLine, gate: Gate) -> None:
        has_left = asyncio.Event()

        async def receive() -> Message:
            await has_left.wait()
            return {"type": "http.disconnect"}

        working = asyncio.create_task(line.run(LARGE, receive, gate))
        await begun(gate)
        has_left.set()
        with pytest.raises(ClientDisconnect):
            await working
        gate.is_open.set()
        assert await line.run(LARGE, stays, lambda _: 7) == 7  # the thread is through with the other one

    assert run(test).stages == []


def test_the_line_has_an_end() -> None:
    async def test(line: BodyLine, gate: Gate) -> None:
        waiting = [asyncio.create_task(line.run(LARGE, stays, gate)) for _ in range(3)]
        await begun(gate)
        with pytest.raises(QueueFullError):
            await line.run(MEDIUM, stays, gate)
        gate.is_open.set()
        await asyncio.gather(*waiting)
        assert await line.run(4 * LARGE, stays, lambda _: 7) == 7  # an idle server takes any

    run(test)


def test_the_time_in_line_counts() -> None:
    async def test(line: BodyLine, gate: Gate) -> None:
        with pytest.raises(RequestTimeoutError):
            await line.run(LARGE, stays, gate)

    run(test, timeout_seconds=0.05)


def test_a_usual_chat_needs_no_thread() -> None:
    assert not is_large(10_000)
    assert is_large(1_000_000)
