"""A ServerHandler without threads or model: it plays a script of events for every request."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

from api.errors import ApiError, StartupError
from api.server_handler import Health, ServedModel, ServerHandler
from api.types import (
    Accepted,
    Failed,
    Finished,
    FinishReason,
    GenerationRequest,
    TextDelta,
    TextEvent,
    Usage,
)

Script = Callable[[str], list[TextEvent]]  # request id -> events; without a terminal one it hangs

USAGE = Usage(num_prompt_tokens=7, num_completion_tokens=3, num_cached_tokens=2)


def hello(request_id: str) -> list[TextEvent]:
    return [*hanging(request_id), Finished(request_id, FinishReason.STOP, USAGE)]


def hanging(request_id: str) -> list[TextEvent]:
    return [Accepted(request_id, 7), TextDelta(request_id, "Hel"), TextDelta(request_id, "lo ✓")]


def silent(request_id: str) -> list[TextEvent]:
    return [Accepted(request_id, 7)]


def failing(error: ApiError, before: Script = lambda _: []) -> Script:
    return lambda request_id: [*before(request_id), Failed(request_id, error)]


class FakeChannel:
    def __init__(self, request_id: str, events: list[TextEvent]) -> None:
        self.request_id = request_id
        self._events: asyncio.Queue[TextEvent] = asyncio.Queue()
        for event in events:
            self.put(event)

    def put(self, event: TextEvent) -> None:
        self._events.put_nowait(event)

    async def next_event(self) -> TextEvent:
        return await self._events.get()


class FakeServerHandler:
    def __init__(self, script: Script = hello) -> None:
        self.script = script
        self.health = Health("ok", "serving")
        self.served_model = ServedModel(("org/tiny", "tiny", "model"), 1700000000, 4096, "fp_0123456789ab")
        self.refusal: ApiError | None = None
        self.load_error: StartupError | None = None
        self.requests: list[GenerationRequest] = []
        self.channels: list[FakeChannel] = []
        self.cancelled: list[str] = []
        self.calls: list[str] = []
        self.bug: Exception | None = None
        self.refused_codes: list[str | None] = []

    @property
    def typed(self) -> ServerHandler:
        """Itself, as what it stands for."""
        return cast(ServerHandler, self)

    def start(self) -> None:
        self.calls.append("start")

    async def wait_loaded(self) -> None:
        if self.load_error is not None:
            raise self.load_error

    def submit(self, request: GenerationRequest) -> FakeChannel:
        for each in (self.refusal, self.bug):
            if each is not None:
                raise each
        self.requests.append(request)
        channel = FakeChannel(request.request_id, self.script(request.request_id))
        self.channels.append(channel)
        return channel

    def record_refusal(self, error: ApiError, request_id: str = "-") -> None:
        self.refused_codes.append(error.code)

    def cancel(self, request_id: str) -> None:
        self.cancelled.append(request_id)

    async def drain(self, timeout_seconds: float) -> None:
        self.calls.append("drain")
        self.health = Health("draining", "")

    async def stop(self) -> None:
        self.calls.append("stop")

    def stats(self) -> dict[str, Any]:
        return {"uptime_seconds": 1.5}
