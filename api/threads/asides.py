"""The event loop's table of questions to the prompt reader that no generation hangs on."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from functools import partial
from typing import Any

import structlog

from api.errors import ApiError
from api.threads.contracts import Aside, Question

Resolve = Callable[[Any], None]


class AsideTable:
    """Event loop thread only, but for what it hands out in an ``Aside``."""

    def __init__(self, call_soon: Callable[[Resolve, Any], None]) -> None:
        """``call_soon`` has a function called with one argument on the event loop; from any thread."""
        self._call_soon = call_soon
        self._numbers = itertools.count()
        self._waiting: dict[int, asyncio.Future[Any]] = {}

    def __len__(self) -> int:
        """Returns the number of questions without an answer."""
        return len(self._waiting)

    async def ask(self, question: Question, put: Callable[[Aside], None]) -> Any:
        """Puts the question and waits; whoever is cancelled meanwhile spares the reader the work.

        Raises what the reader raised, or what ``fail_all`` says.
        """
        number = next(self._numbers)
        future = self._waiting[number] = asyncio.get_running_loop().create_future()
        put(
            Aside(
                question=question,
                is_wanted=lambda: number in self._waiting,
                answer=partial(self._call_soon, partial(self._resolve, number)),
                x_request_id=structlog.contextvars.get_contextvars().get("x_request_id", ""),
            )
        )
        try:
            return await future
        finally:
            self._waiting.pop(number, None)

    def fail_all(self, error: ApiError) -> None:
        for number in tuple(self._waiting):
            self._resolve(number, error)

    def _resolve(self, number: int, answer: Any) -> None:
        future = self._waiting.get(number)
        if future is None or future.done():
            return
        if isinstance(answer, ApiError):
            future.set_exception(answer)
        else:
            future.set_result(answer)
