"""One submitted request while its client waits: no answer is computed for a client that has gone."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import structlog
from starlette.requests import ClientDisconnect
from starlette.types import Receive

from api.errors import RequestTimeoutError
from api.events import Failed, Finished, TextEvent
from api.server_handler import ServerHandler

log = structlog.get_logger(__name__)
Result = TypeVar("Result")


class Events(Protocol):
    """One request's events in order, as a ``Channel`` gives them."""

    request_id: str

    async def next_event(self) -> TextEvent: ...


@dataclass(slots=True)
class LiveRequest:
    """A request's channel, its connection and its time limit (0: none)."""

    handler: ServerHandler
    channel: Events
    receive: Receive
    timeout_seconds: float
    started_seconds: float

    async def first_event(self) -> TextEvent:
        """Returns the event that decides between an error status and 200; raises what Failed carries."""
        return await self.attend(_first_event(self.channel))

    async def all_events(self, feed: Callable[[TextEvent], None]) -> Finished:
        """Feeds the events as they come; returns the terminal one, raises what Failed carries."""
        return await self.attend(_feed_all(self.channel, feed))

    async def attend(self, work: Coroutine[Any, Any, Result]) -> Result:
        """Runs ``work`` while the client is there.

        Raises ClientDisconnect and RequestTimeoutError. Unless ``work`` returned, the request is
        cancelled, so its row is free within a step.
        """
        is_done = False
        try:
            result = await run_while_connected(work, self.receive, self._remaining_seconds())
            is_done = True
            return result
        except TimeoutError:
            log.warning("request timed out", request_id=self.channel.request_id)
            raise RequestTimeoutError(f"The request took longer than {self.timeout_seconds:g} s.") from None
        finally:
            if not is_done:
                self.handler.cancel(self.channel.request_id)

    def _remaining_seconds(self) -> float | None:
        if self.timeout_seconds <= 0:
            return None
        return max(0.0, self.started_seconds + self.timeout_seconds - time.monotonic())


async def run_while_connected(
    work: Coroutine[Any, Any, Result], receive: Receive, timeout_seconds: float | None
) -> Result:
    """Awaits ``work``; cancels it and raises ClientDisconnect or TimeoutError when one comes first."""
    working = asyncio.create_task(work)
    leaving = asyncio.create_task(_wait_for_disconnect(receive))
    try:
        await asyncio.wait((working, leaving), timeout=timeout_seconds, return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            return working.result()
        raise ClientDisconnect if leaving.done() else TimeoutError
    finally:
        working.cancel()
        leaving.cancel()
        await asyncio.gather(working, leaving, return_exceptions=True)


async def _wait_for_disconnect(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _first_event(channel: Events) -> TextEvent:
    event = await channel.next_event()
    if isinstance(event, Failed):
        raise event.error
    return event


async def _feed_all(channel: Events, feed: Callable[[TextEvent], None]) -> Finished:
    while True:
        event = await channel.next_event()
        if isinstance(event, Failed):
            raise event.error
        if isinstance(event, Finished):
            return event
        feed(event)
