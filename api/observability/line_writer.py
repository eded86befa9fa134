"""Lines on their way to a terminal, file or pipe, which may take them slowly or not at all."""

from __future__ import annotations

import os
import select
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import TextIO

# About 40,000 lines of usual length: what a reader may be behind before lines are dropped.
_MAX_WAITING_BYTES = 8 * 1024 * 1024
_LINE_OVERHEAD_BYTES = 100  # what a queued line costs beside its text, so that empty ones count too
_POLL_SECONDS = 1.0

Describe = Callable[[int], str]  # the line that says how many were dropped


class LineWriter:
    """Writes on a thread of its own, so that whoever has something to say never waits for a reader.

    Lines that find too many waiting are dropped and counted, and so are those that cannot be written
    (the reader has gone, the disk is full). Once the stream takes lines again, one says how many.
    """

    def __init__(
        self, stream: TextIO | None, describe_dropped: Describe, max_waiting_bytes: int = _MAX_WAITING_BYTES
    ) -> None:
        """``stream``: None where the process was started without one."""
        self._stream = stream
        self._fd = _descriptor(stream)
        self._describe_dropped = describe_dropped
        self._max_waiting_bytes = max_waiting_bytes
        # Both may be entered anew by the thread that is in them: a finalizer that logs runs anywhere.
        self._lines: SimpleQueue[str | threading.Event | None] = SimpleQueue()
        self._lock = threading.RLock()
        self._num_waiting_bytes = 0
        self._num_dropped = 0
        self._thread = threading.Thread(target=self._run, name="log-writer", daemon=True)
        self._thread.start()

    @property
    def is_full(self) -> bool:
        return self._num_waiting_bytes >= self._max_waiting_bytes

    def put(self, text: str) -> None:
        """Takes a line with its end, or a piece of one; never blocks."""
        size = _size(text)
        with self._lock:
            if self.is_full or (self._num_waiting_bytes and size > self._max_waiting_bytes):
                self._num_dropped += 1
                return
            self._num_waiting_bytes += size
            self._lines.put(text)

    def drop(self) -> None:
        """Counts a line that nobody made, because there was no room for it."""
        with self._lock:
            self._num_dropped += 1

    def flush(self, timeout_seconds: float) -> bool:
        """Waits for what was put before, but no longer than that; returns whether it was written."""
        if threading.current_thread() is self._thread or not self._thread.is_alive():
            return False
        is_reached = threading.Event()
        self._lines.put(is_reached)
        return is_reached.wait(timeout_seconds)

    def close(self) -> None:
        """Ends the thread behind the last line; does not wait for it."""
        self._lines.put(None)

    # --- the writer's thread ----------------------------------------------------------------------

    def _run(self) -> None:
        while (line := self._lines.get()) is not None:
            if isinstance(line, threading.Event):
                self._say_dropped()
                line.set()
            else:
                self._take(line)

    def _take(self, text: str) -> None:
        is_written = self._write(text)
        with self._lock:
            self._num_waiting_bytes -= _size(text)
            self._num_dropped += not is_written
        # Not at every line of a reader that is slow: half of them would be about dropped ones.
        if is_written and self._num_waiting_bytes <= self._max_waiting_bytes // 2:
            self._say_dropped()

    def _say_dropped(self) -> None:
        with self._lock:
            num_dropped, self._num_dropped = self._num_dropped, 0
        if num_dropped and not self._write(self._describe_dropped(num_dropped)):
            with self._lock:
                self._num_dropped += num_dropped

    def _write(self, text: str) -> bool:
        """Blocks for as long as the stream takes nothing. Returns False where it never will."""
        if self._stream is None:
            return False
        try:
            if self._fd is None:
                self._stream.write(text)
                self._stream.flush()
            else:
                _write_all(self._fd, text.encode(self._stream.encoding or "utf-8", "backslashreplace"))
        except (OSError, ValueError):  # ValueError: the stream was closed
            return False
        return True


def _size(text: str) -> int:
    return len(text) + _LINE_OVERHEAD_BYTES


def _descriptor(stream: TextIO | None) -> int | None:
    """None for a stream in memory, as tests have it."""
    try:
        return None if stream is None else stream.fileno()
    except (OSError, ValueError):
        return None


def _write_all(fd: int, data: bytes) -> None:
    # One line, one call: lines of several processes on one pipe stay whole.
    while data:
        try:
            data = data[os.write(fd, data) :]
        except BlockingIOError:  # whoever started us made it non-blocking
            select.select([], [fd], [], _POLL_SECONDS)
