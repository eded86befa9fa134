"""Keeps the number of connections below the limit of open files, and ends those that lead nowhere."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Collection, Iterable
from typing import Protocol

import structlog

from api.serving.connections.patience import Awaited, Patience, Progress

log = structlog.get_logger(__name__)

_LONGEST_SWEEP_SECONDS = 1.0
_WARNING_SECONDS = 10.0  # between two lines about the same shortage
_CLOSED_SHARE = 16  # one in so many is closed at once, so that not every newcomer costs a search

# Who gives way to others, first to last.
_GIVING_WAY = (Awaited.FIRST_BYTE, Awaited.HEAD, Awaited.NEXT_REQUEST, Awaited.BODY)


class Connection(Protocol):
    """What there is to know of one."""

    progress: Progress

    @property
    def awaited(self) -> Awaited: ...

    @property
    def is_reading_paused(self) -> bool: ...

    @property
    def num_stuck_bytes(self) -> int:
        """Bytes that wait for the client to read, where nothing is added to them."""
        ...

    def abort(self) -> None:
        """Ends it without a word."""
        ...


def _least_needed(connections: Iterable[Connection]) -> list[Connection]:
    """Those that may go, the first to go first."""
    quiet = [each for each in connections if each.awaited in _GIVING_WAY]
    return sorted(quiet, key=lambda each: (_GIVING_WAY.index(each.awaited), each.progress.last_seconds))


class Doorkeeper:
    """Shared by all connections of a process; belongs to the event loop's thread."""

    def __init__(self, patience: Patience, max_connections: int) -> None:
        self._patience = patience
        self._max_connections = max_connections
        self._num_turned_away = 0  # since the last line about it
        self._warned_seconds = float("-inf")

    # --- room -----------------------------------------------------------------------------------

    def admits(self, connections: Collection[Connection], now_seconds: float) -> bool:
        """Whether there is room for one more than ``connections``; may abort silent ones to make it."""
        num_open = len(connections)
        num_excess = num_open + 1 - self._max_connections
        if num_excess <= 0:
            return True
        num_wanted = max(num_excess, self._max_connections // _CLOSED_SHARE)
        leaving = _least_needed(connections)[:num_wanted]
        for each in leaving:
            each.abort()
        is_admitted = len(leaving) >= num_excess
        self._warn(num_open, len(leaving) + (not is_admitted), now_seconds)
        return is_admitted

    def _warn(self, num_open: int, num_turned_away: int, now_seconds: float) -> None:
        self._num_turned_away += num_turned_away
        if now_seconds - self._warned_seconds < _WARNING_SECONDS:
            return
        log.warning(
            "too many connections: silent ones are closed; a higher limit of open files allows more",
            open=num_open,
            limit=self._max_connections,
            closed=self._num_turned_away,
        )
        self._warned_seconds, self._num_turned_away = now_seconds, 0

    # --- time -----------------------------------------------------------------------------------

    async def watch(self, connections: Iterable[Connection]) -> None:
        """Looks at all connections again and again; ``connections`` may change meanwhile."""
        loop = asyncio.get_running_loop()
        period_seconds = min(_LONGEST_SWEEP_SECONDS, self._patience.idle_read_seconds / 4)
        while True:
            due_seconds = loop.time() + period_seconds
            await asyncio.sleep(period_seconds)
            # After a hold-up of the whole process, what the clients sent meanwhile is still to be read.
            if loop.time() - due_seconds < period_seconds:
                self.sweep(list(connections), loop.time())

    def sweep(self, connections: Iterable[Connection], now_seconds: float) -> None:
        late: Counter[str] = Counter()
        for each in connections:
            reason = self._reason_to_end(each, now_seconds)
            if reason:
                late[reason] += 1
                each.abort()
        for reason, number in late.items():
            level = logging.DEBUG if reason == Awaited.NEXT_REQUEST.value else logging.INFO
            log.log(level, "connections ended, waited in vain", awaited=reason, connections=number)

    def _reason_to_end(self, connection: Connection, now_seconds: float) -> str:
        """Returns what was waited for in vain; empty where there is hope."""
        progress = connection.progress
        unread_seconds = progress.look_at_unsent(connection.num_stuck_bytes, now_seconds)
        if unread_seconds > self._patience.idle_read_seconds:
            return "that the answer is read"
        if connection.awaited is Awaited.BODY and connection.is_reading_paused:
            return ""  # it is the server that keeps the body waiting
        is_over = self._patience.is_over(connection.awaited, progress, now_seconds)
        return connection.awaited.value if is_over else ""
