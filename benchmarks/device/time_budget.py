"""Shares the minutes among the parts: what one leaves goes to those behind it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

# A part that needs longer than its share, for kernels that are compiled once, may take some of the others'.
_PATIENCE = 3.0
_PATIENCE_SECONDS = 15.0


@dataclass(frozen=True, slots=True)
class Share:
    """Seconds for one part."""

    aim_seconds: float  # what it plans its rounds for
    limit_seconds: float  # when it is ended


class TimeBudget:
    def __init__(self, total_seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._end = clock() + total_seconds

    @property
    def left_seconds(self) -> float:
        return max(0.0, self._end - self._clock())

    def share(self, weights: Sequence[float], floor_seconds: float) -> Share | None:
        """For the first of the parts still to come with these weights; None where too little is left."""
        left = self.left_seconds
        if left < floor_seconds:
            return None
        aim = max(floor_seconds, left * weights[0] / sum(weights))
        return Share(aim, min(left, max(_PATIENCE * aim, aim + _PATIENCE_SECONDS)))


@dataclass(frozen=True, slots=True)
class Deadline:
    """A part's own view of its share."""

    end: float
    clock: Callable[[], float] = time.monotonic

    @property
    def left_seconds(self) -> float:
        return max(0.0, self.end - self.clock())

    def portion(self, share: float) -> Deadline:
        """The end of a piece of what is left."""
        return Deadline(self.clock() + share * self.left_seconds, self.clock)
