"""Where large bodies are parsed and checked: on threads beside the event loop, one body after the other."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Generic, TypeVar

from starlette.types import Receive

from api.errors import QueueFullError, RequestTimeoutError
from api.http.transport.live_request import run_while_connected
from api.thread_priority import yield_to_others

Checkpoint = Callable[[], None]
Result = TypeVar("Result")

_INLINE_BYTES = 16 * 1024  # most chats; a few milliseconds at worst
_MEDIUM_BYTES = 1024 * 1024


def is_large(num_bytes: int) -> bool:
    """Whether a body of that size would hold up the event loop."""
    return num_bytes > _INLINE_BYTES


class BodyLine:
    """Medium bodies do not wait behind large ones, and small ones do not come here at all."""

    def __init__(self, max_bytes: int, timeout_seconds: float | None) -> None:
        """``max_bytes``: of all bodies in line."""
        self._medium = ThreadPoolExecutor(1, "medium bodies", yield_to_others)
        self._large = ThreadPoolExecutor(1, "large bodies", yield_to_others)
        self._max_bytes = max_bytes
        self._timeout_seconds = timeout_seconds
        self._num_bytes = 0

    async def run(self, num_bytes: int, receive: Receive, work: Callable[[Checkpoint], Result]) -> Result:
        """Returns what ``work`` makes of a body of ``num_bytes``; raises what it raises.

        ``work`` gets a function to call before each expensive stage, which ends it once nobody waits any
        more. Raises ClientDisconnect, QueueFullError and RequestTimeoutError.
        """
        if self._num_bytes and self._num_bytes + num_bytes > self._max_bytes:
            raise QueueFullError("Too many large request bodies are waiting; try again later.")
        job = _Job(work)
        self._num_bytes += num_bytes
        try:
            return await run_while_connected(self._done(num_bytes, job), receive, self._timeout_seconds)
        except TimeoutError:
            raise RequestTimeoutError("The request waited too long for its body to be read.") from None
        finally:
            job.abandon()
            self._num_bytes -= num_bytes

    async def _done(self, num_bytes: int, job: _Job[Result]) -> Result:
        executor = self._medium if num_bytes <= _MEDIUM_BYTES else self._large
        # With the request's context: what is logged there has its name.
        run = contextvars.copy_context().run
        return await asyncio.get_running_loop().run_in_executor(executor, run, job)


class _Abandoned(Exception):
    """Nobody waits for the result: raised on the thread, seen by no one."""


class _Job(Generic[Result]):
    def __init__(self, work: Callable[[Checkpoint], Result]) -> None:
        self._work: Callable[[Checkpoint], Result] | None = work

    def abandon(self) -> None:
        """Lets go of the body at once, although the job may still be in line."""
        self._work = None

    def __call__(self) -> Result:
        work = self._work
        if work is None:
            raise _Abandoned
        return work(self._check)

    def _check(self) -> None:
        if self._work is None:
            raise _Abandoned
