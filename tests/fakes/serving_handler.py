"""A real ServerHandler over the engine without a model."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from api.events import OutputDelta, TextEvent
from api.server_handler import Channel, ServerHandler
from tests.threads.fakes import FakeEngine, create_config, create_load


def run(test: Callable[[], Awaitable[None]]) -> None:
    async def limited() -> None:
        await asyncio.wait_for(test(), 10)

    asyncio.run(limited())


@asynccontextmanager
async def serving(engine: FakeEngine, **settings: Any) -> AsyncIterator[ServerHandler]:
    handler = ServerHandler(create_config(**settings), create_load(engine))
    handler.start()
    await handler.wait_loaded()
    try:
        yield handler
    finally:
        engine.generator.gate.set()
        engine.prompt_reader.gate.set()
        await handler.stop()


async def events_of(channel: Channel) -> list[TextEvent]:
    return [event async for event in channel]


def text_of(events: list[TextEvent]) -> str:
    return "".join(event.piece.content for event in events if isinstance(event, OutputDelta))


async def until(condition: Callable[[], bool]) -> None:
    while not condition():
        await asyncio.sleep(0.001)


def assert_nothing_left(handler: ServerHandler, engine: FakeEngine) -> None:
    """After ``stop``: no stage knows a request any more."""
    assert len(handler._channels) == 0
    assert len(handler._results) == 0
    assert not handler._processing._cancelled
    assert engine.is_empty
    assert not handler._watchdog.is_armed
