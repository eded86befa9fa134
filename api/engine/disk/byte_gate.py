"""A limit on bytes that are on their way from one thread to another."""

from __future__ import annotations

import threading


class ByteGate:
    """Any thread may call. What is larger than the limit passes when nothing else is under way."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._used_bytes = 0
        self._changed = threading.Condition()

    def try_acquire(self, num_bytes: int) -> bool:
        """Takes the bytes, or returns False at once."""
        return self.acquire(num_bytes, timeout_seconds=0)

    def acquire(self, num_bytes: int, timeout_seconds: float) -> bool:
        """Takes the bytes as soon as there is room; False where there is none in that time."""
        with self._changed:
            has_room = self._changed.wait_for(lambda: self._has_room(num_bytes), timeout_seconds)
            if has_room:
                self._used_bytes += num_bytes
            return has_room

    def release(self, num_bytes: int) -> None:
        with self._changed:
            self._used_bytes -= num_bytes
            self._changed.notify_all()

    def _has_room(self, num_bytes: int) -> bool:
        return not self._used_bytes or self._used_bytes + num_bytes <= self._limit_bytes
