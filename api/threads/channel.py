"""The event loop's end of a request: the channel its consumer reads, and the table of live ones."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator

from api.errors import ApiError, InvalidRequestError
from api.events import Failed, Finished, TextEvent
from api.observability.metrics import Metrics


class Channel:
    """One request's events in order, ending with exactly one ``Finished`` or ``Failed``.

    Event loop thread only. The terminal event is never consumed: asking again gives it again.
    """

    __slots__ = ("_events", "_is_cancelled", "_ready", "num_sequences", "request_id")

    def __init__(self, request_id: str, num_sequences: int = 1) -> None:
        self.request_id = request_id
        self.num_sequences = num_sequences  # rows that it takes, or waits for
        self._events: deque[TextEvent] = deque()
        self._ready = asyncio.Event()
        self._is_cancelled = False

    async def next_event(self) -> TextEvent:
        """Waits for the next event; safe to cancel (a timeout loses nothing)."""
        while not self._events:
            self._ready.clear()
            await self._ready.wait()
        event = self._events[0]
        return event if is_terminal(event) else self._events.popleft()

    async def __aiter__(self) -> AsyncIterator[TextEvent]:
        while True:
            event = await self.next_event()
            yield event
            if is_terminal(event):
                return

    @property
    def is_cancelled(self) -> bool:
        return self._is_cancelled

    def put(self, event: TextEvent) -> None:
        """Appends; after a cancel only the terminal event is kept."""
        if self._is_cancelled and not is_terminal(event):
            return
        self._events.append(event)
        self._ready.set()

    def cancel(self) -> None:
        """Nobody reads on: drops what is waiting. The terminal event still comes."""
        self._is_cancelled = True
        self._events.clear()


class ChannelTable:
    """All live requests. Whatever ends one goes through ``dispatch``, so it ends exactly once."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._channels: dict[str, Channel] = {}
        self._empty = asyncio.Event()
        self._empty.set()

    def __len__(self) -> int:
        return len(self._channels)

    @property
    def num_sequences(self) -> int:
        return sum(channel.num_sequences for channel in self._channels.values())

    @property
    def request_ids(self) -> tuple[str, ...]:
        return tuple(self._channels)

    def open(self, request_id: str, num_sequences: int = 1) -> Channel:
        """Raises ValueError for an id that is live: answers would mix."""
        if request_id in self._channels:
            raise ValueError(f"request id {request_id!r} is in use")
        channel = self._channels[request_id] = Channel(request_id, num_sequences)
        self._empty.clear()
        self._metrics.request_received()
        return channel

    def cancel(self, request_id: str) -> bool:
        """Returns True the first time that a live request is cancelled."""
        channel = self._channels.get(request_id)
        if channel is None or channel.is_cancelled:
            return False
        channel.cancel()
        return True

    def dispatch(self, events: list[TextEvent]) -> None:
        """Hands events to their channels; those of ended or unknown requests are dropped."""
        for event in events:
            channel = self._channels.get(event.request_id)
            if channel is None:
                continue
            channel.put(event)
            if is_terminal(event):
                self._close(event)

    def fail(self, request_id: str, error: ApiError) -> None:
        self.dispatch([Failed(request_id, error)])

    async def wait_empty(self) -> None:
        await self._empty.wait()

    def _close(self, event: TextEvent) -> None:
        del self._channels[event.request_id]
        if not self._channels:
            self._empty.set()
        if isinstance(event, Finished):
            self._metrics.request_ended(event.finish_reason.value)
        elif isinstance(event, Failed):
            self._count_failed(event.error)

    def _count_failed(self, error: ApiError) -> None:
        """What is wrong with a prompt is found after its request was taken: a refusal all the same."""
        is_refused = isinstance(error, InvalidRequestError)
        count = self._metrics.request_refused if is_refused else self._metrics.request_failed
        count(error.code or error.type)


def is_terminal(event: TextEvent) -> bool:
    return isinstance(event, Finished | Failed)
