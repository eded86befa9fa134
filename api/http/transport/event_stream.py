"""A stream of server-sent events: its beginning, signs of life, and its end, good or bad."""

from __future__ import annotations

import asyncio

import structlog
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from api.errors import RequestTimeoutError
from api.events import Failed, Finished, TextEvent
from api.http.transport.dialect import Dialect, EventWriter
from api.http.transport.live_request import LiveRequest

log = structlog.get_logger(__name__)


class EventStreamResponse(Response):
    """Streams a request's events after ``first``; it is cancelled when the client leaves."""

    media_type = "text/event-stream"

    def __init__(
        self,
        live_request: LiveRequest,
        first: TextEvent,
        dialect: Dialect,
        writer: EventWriter,
        keep_alive_seconds: float,
    ) -> None:
        self.status_code = 200
        self.background = None
        self.init_headers({"cache-control": "no-cache", "x-accel-buffering": "no"})
        self._live_request = live_request
        self._first = first
        self._dialect = dialect
        self._writer = writer
        self._keep_alive_seconds = keep_alive_seconds
        self._has_started = False  # the status is open until then
        self._last_sent_seconds = 0.0
        # Bound once: on the proxy that get_logger returns, even a call that logs nothing costs microseconds.
        self._log = log.bind(request_id=live_request.channel.request_id)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await self._live_request.attend(self._stream(send))
        except RequestTimeoutError as error:
            if not self._has_started:
                raise
            failed = Failed(self._live_request.channel.request_id, error)
            await self._send(send, self._encode(failed) + self._dialect.end_frame, more_body=False)
        except ClientDisconnect:
            self._log.debug("client left")

    async def _stream(self, send: Send) -> None:
        await self._send_headers(send)
        await self._send(send, self._encode(self._first))
        keeping_alive = asyncio.create_task(self._keep_alive(send))
        try:
            last = await self._pump(send)
        finally:
            keeping_alive.cancel()
        await self._send(send, self._encode(last) + self._dialect.end_frame, more_body=False)

    async def _send_headers(self, send: Send) -> None:
        self._last_sent_seconds = asyncio.get_running_loop().time()
        self._has_started = True
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})

    async def _pump(self, send: Send) -> TextEvent:
        """Sends until the terminal event, which it returns."""
        next_event = self._live_request.channel.next_event
        while True:
            event = await next_event()
            self._log.debug("stream event", data=event)
            if isinstance(event, Finished | Failed):
                return event
            await self._send(send, self._encode(event))

    async def _keep_alive(self, send: Send) -> None:
        """Proxies and clients give up on silent connections; signs of life cost nobody a token."""
        loop = asyncio.get_running_loop()
        while True:
            due_seconds = self._last_sent_seconds + self._keep_alive_seconds - loop.time()
            if due_seconds > 0:
                await asyncio.sleep(due_seconds)
            else:
                await self._send(send, self._dialect.keep_alive_frame)

    async def _send(self, send: Send, data: bytes, *, more_body: bool = True) -> None:
        if not data:
            return  # an event that is nothing in this dialect
        self._last_sent_seconds = asyncio.get_running_loop().time()
        await send({"type": "http.response.body", "body": data, "more_body": more_body})

    def _encode(self, event: TextEvent) -> bytes:
        return b"".join(map(self._dialect.frame, self._writer.feed(event)))
