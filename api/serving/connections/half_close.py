"""A client that has ended its sending: it may wait for its answer, or have gone; TCP says the same of both.

Who has gone answers a written byte with a reset, so the write after it fails. Bytes that any answer
begins with are written, one at a time and ever more rarely, for as long as there is nothing else to write.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

# The second byte fails where the connection was closed; the later ones are for those that close after it.
_DELAYS_SECONDS = (0.0, 0.25, 0.5, 2.0, 8.0, 30.0, 120.0, 480.0)


class HalfClose:
    """Calls ``send_early`` from time to time, until told to stop."""

    def __init__(self, loop: asyncio.AbstractEventLoop, send_early: Callable[[], None]) -> None:
        self._loop = loop
        self._send_early = send_early
        self._delays = iter(_DELAYS_SECONDS)
        self._timer: asyncio.TimerHandle | None = None
        self._schedule()

    def _schedule(self) -> None:
        delay_seconds = next(self._delays, None)
        self._timer = self._loop.call_later(delay_seconds, self._probe) if delay_seconds is not None else None

    def _probe(self) -> None:
        self._send_early()
        self._schedule()

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
