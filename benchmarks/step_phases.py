"""Where the time of an engine's steps goes: the functions that a step calls, timed from outside."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest import mock

# Reading waits for the device: on a CPU most of the arithmetic is in there, or in the dispatch.
PHASES = ("planning", "building the graph", "noise", "reading", "sampling", "dispatch", "update")


class StepPhases:
    """Seconds by phase; ``sampling`` is the building of its graph."""

    def __init__(self) -> None:
        self.seconds = dict.fromkeys(PHASES, 0.0)

    def timed(self, phase: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **named: Any) -> Any:
            started = time.perf_counter()
            try:
                return function(*args, **named)
            finally:
                self.seconds[phase] += time.perf_counter() - started

        return call

    @contextmanager
    def watching(self, engine: Any) -> Iterator[None]:
        import api.generator as generator_module

        scheduler, generator = engine.scheduler, engine.generator
        places = [
            (scheduler, "schedule", "planning"),
            (scheduler, "update", "update"),
            (generator, "_forward", "building the graph"),
            (generator._sampler, "prepare", "noise"),
            (generator, "_sample", "sampling"),
            (generator, "_read", "reading"),
            (generator_module, "dispatch", "dispatch"),
        ]
        with ExitStack() as stack:
            for owner, name, phase in places:
                function = getattr(owner, name)
                timed: Any = self.timed(phase, function)
                if name == "_forward":
                    timed = _TimedForward(function, timed)
                stack.enter_context(mock.patch.object(owner, name, timed))
            yield


class _TimedForward:
    """The forward itself, but for its call."""

    def __init__(self, forward: Any, call: Callable[..., Any]) -> None:
        self._forward = forward
        self._call = call

    def __call__(self, *args: Any) -> Any:
        return self._call(*args)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._forward, name)
