"""Notices a thread that makes no progress while requests are live."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable

from api.threads.worker import Heartbeat


class Watchdog:
    """One timer on the event loop, armed only while requests are live. Event loop thread only."""

    def __init__(
        self, heartbeats: tuple[Heartbeat, ...], timeout_seconds: float, on_stall: Callable[[str], None]
    ) -> None:
        self._heartbeats = heartbeats
        self._timeout_seconds = timeout_seconds
        self._on_stall = on_stall
        self._timer: asyncio.TimerHandle | None = None

    @property
    def is_armed(self) -> bool:
        return self._timer is not None

    def arm(self) -> None:
        """Idempotent; a timeout of 0 means no watch."""
        if self._timer is None and self._timeout_seconds > 0:
            self._schedule(self._timeout_seconds)

    def disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _schedule(self, delay_seconds: float) -> None:
        # A context of its own: the request that happens to arm it is no more to blame than the others.
        loop, context = asyncio.get_running_loop(), contextvars.Context()
        self._timer = loop.call_later(delay_seconds, self._check, context=context)

    def _check(self) -> None:
        self._timer = None
        busy_seconds, name = max((beat.busy_seconds(), beat.name) for beat in self._heartbeats)
        if busy_seconds >= self._timeout_seconds:
            self._on_stall(f"the {name} thread made no progress for {busy_seconds:.0f} s")
            return
        # The earliest moment at which the unit of work under way can be too late; the floor keeps
        # a unit that ends just now from being asked about again and again.
        self._schedule(max(self._timeout_seconds - busy_seconds, self._timeout_seconds / 20))
