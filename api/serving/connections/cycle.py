"""One request and its answer on a connection."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

_STATUS_LINE_START = b"HTTP/1.1 "  # of every answer, whatever its status will be


class Cycle(RequestResponseCycle):
    """uvicorn's, which frames for HTTP/1.1 only, and keeps connections whose next bytes are uncertain."""

    _num_early_bytes = 0  # of the status line, sent before the rest of it was known
    _ends_with_connection = False

    @property
    def is_answered(self) -> bool:
        return bool(self.response_complete)

    async def send(self, message: Any) -> None:
        # Here and not in super(), so that nothing happens between what is set below and its use.
        while self.flow.write_paused and not self.disconnected:
            await self.flow.drain()
        if message["type"] == "http.response.start":
            await self._send_head(message)
            return
        if self._ends_with_connection:
            self.expected_content_length = len(message.get("body", b""))
        await super().send(message)

    async def _send_head(self, message: Any) -> None:
        if self.scope["http_version"] == "1.0" and not _names_length(message):
            self._ends_with_connection = True
            self.chunked_encoding = False
        if self.waiting_for_100_continue:
            self.keep_alive = False  # whether the body follows is the client's choice
        connection = self.transport
        self.transport = _WithoutStart(connection, self._num_early_bytes)
        try:
            await super().send(message)
        finally:
            self.transport = connection

    def send_early(self) -> None:
        """Sends a byte that belongs to any answer: it fails where nobody listens, and harms no one else."""
        if self.flow.write_paused or self.response_complete:
            return
        if not self.response_started and self._num_early_bytes < len(_STATUS_LINE_START):
            self.transport.write(_STATUS_LINE_START[self._num_early_bytes :][:1])
            self._num_early_bytes += 1
        elif self.response_started and self.chunked_encoding:
            self.transport.write(b"0")  # leads the next chunk's size

    def leave(self) -> None:
        """The client has gone: whoever waits for it hears so."""
        if not self.response_complete:
            self.disconnected = True
        self.message_event.set()


def _names_length(message: Any) -> bool:
    return any(name.lower() == b"content-length" for name, _ in message.get("headers", ()))


class _WithoutStart(asyncio.Transport):
    """Writes to a transport all but the first bytes."""

    def __init__(self, transport: asyncio.Transport, num_bytes: int) -> None:
        super().__init__()
        self._transport = transport
        self._num_bytes = num_bytes

    def write(self, data: Any) -> None:
        self._transport.write(data[self._num_bytes :])
