"""Prints of libraries, such as progress bars and warnings, go the way of the log lines."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterable, Iterator
from typing import Any, TextIO, cast

from api.observability.line_writer import LineWriter

_FLUSH_SECONDS = 2.0


class QueuedStream:
    """Looks like ``original`` to a library, and never makes the thread that prints wait."""

    def __init__(self, original: TextIO, writer: LineWriter) -> None:
        self._original = original
        self._writer = writer

    def write(self, text: str) -> int:
        if text:
            self._writer.put(text)
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        self.write("".join(lines))

    def flush(self) -> None:
        """Nothing is held back here, and waiting for the reader is what must not happen."""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._original, name)


@contextlib.contextmanager
def queued_prints(writer: LineWriter) -> Iterator[None]:
    """Both standard streams; stdout too, because it often is the same pipe.

    Behind the ``with`` they are what they were, so that a traceback of the interpreter's own is shown.
    """
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = (_queued(stream, writer) for stream in before)
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before
        writer.flush(_FLUSH_SECONDS)


def _queued(stream: TextIO, writer: LineWriter) -> TextIO:
    """None stands for a stream that the process was started without."""
    return stream if stream is None else cast(TextIO, QueuedStream(stream, writer))
