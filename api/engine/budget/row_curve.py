"""Seconds of a step by its number of rows, from the steps before: a curve that follows the device."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field

from api.engine.budget.context_costs import ContextCosts

_NUM_REMEMBERED = 7  # steps of one size; their median counts, so that one slow step says little
# Steps that fill their size tell of its edge, where most is gained; those with fewer rows than this part of
# the largest among them do not count then.
_NEARLY = 0.97
_NUM_FORGOTTEN_AFTER = 2000  # steps after which a size that did not come again is no longer known
_LEVEL_WEIGHT = 0.3  # of the newest step in the factor that all sizes share
# So many steps of one size are trusted: to say something about all sizes, and that more rows cost less, as
# where a device goes over to another kernel.
_FEWEST_TRUSTED = 3
_MOST_SURPRISE = math.log(2)  # a single step does not move that factor by more than its share of this
_LEAST_SHARE = 0.25  # of a step's seconds that its rows take, whatever their context is said to add
_SLOPE_CHANGE = 0.02  # of what the context is said to cost, that is worth joining all sizes anew
_NOISE = 1.01  # sizes that fall by less are as good as equal
# What a further row costs beyond the largest size that was measured, as a share of an average row of that
# size; and below the smallest. How much of a step is fixed is not known there.
_USUAL_SHARE = 0.75

Point = tuple[float, float]  # rows, seconds


@dataclass(frozen=True, slots=True)
class _Step:
    num_rows: float
    seconds: float  # without what the factor of all sizes adds
    context_rows: float = 0.0  # tokens before its prompt rows, summed over these


def row_sizes(most: int) -> list[int]:
    """Numbers of rows worth telling apart: 1, 2, 3, 4, then four for each doubling, and ``most``."""
    sizes, size = [], 1
    while size < most:
        sizes.append(size)
        size += max(1, 1 << (size.bit_length() - 3)) if size >= 4 else 1
    return [*sizes, most]


@dataclass(slots=True)
class _Size:
    """Steps with at most so many rows as an edge, and more than the edge before."""

    prior: _Step | None = None
    steps: deque[_Step] = field(default_factory=lambda: deque(maxlen=_NUM_REMEMBERED))
    at_step: int = 0  # the newest of them
    point: Point | None = None  # of the median; None: not known for the newest steps

    def median(self, context_seconds: float) -> Point:
        """The middle one by the seconds of a row, without those for the context."""
        least = _NEARLY * max(step.num_rows for step in self.steps)
        points = [
            (s.num_rows, max(_LEAST_SHARE * s.seconds, s.seconds - s.context_rows * context_seconds))
            for s in self.steps
            if s.num_rows >= least
        ]
        points.sort(key=lambda point: point[1] / point[0])
        return points[len(points) // 2]

    def means(self) -> tuple[float, float]:
        """Of context and seconds."""
        number = len(self.steps)
        return sum(s.context_rows for s in self.steps) / number, sum(s.seconds for s in self.steps) / number

    def forget(self, at_step: int) -> None:
        """Back to what was measured at load."""
        self.steps.clear()
        self.point = None
        self.at_step = at_step
        if self.prior is not None:
            self.steps.extend([self.prior] * _FEWEST_TRUSTED)


class RowCurve:
    """Medians for each size, joined by lines; one factor follows a device that changes."""

    def __init__(self, most_rows: int, prior: Mapping[int, float] | None = None) -> None:
        """``prior``: rows -> seconds that were measured before; may be empty."""
        self.edges = row_sizes(most_rows)
        self._sizes = [_Size() for _ in self.edges]
        self._known: set[int] = set()  # indices of the sizes with steps
        self._contexts = ContextCosts()
        self._level = 0.0  # natural logarithm of the factor
        self._num_steps = 0
        self._joined_slope = 0.0  # of the context, that the points are without
        for num_rows, seconds in sorted((prior or {}).items()):
            index = self._index(num_rows)
            self._sizes[index].prior = _Step(num_rows, seconds)
            self._sizes[index].forget(0)
            self._known.add(index)
        self._points = self._join()

    def observe(self, num_rows: int, seconds: float, num_prompt_rows: int = 0, context: float = 0.0) -> None:
        """Takes the time of one step that ran without idling.

        ``context``: tokens before a prompt row, on average.
        """
        if seconds <= 0 or num_rows <= 0:
            return
        self._num_steps += 1
        index = self._index(num_rows)
        size = self._sizes[index]
        if not num_prompt_rows and len(size.steps) >= _FEWEST_TRUSTED:
            surprise = math.log(seconds / self.seconds(num_rows))
            self._level += _LEVEL_WEIGHT * max(-_MOST_SURPRISE, min(_MOST_SURPRISE, surprise))
        context_rows = num_prompt_rows * context
        step = _Step(num_rows, seconds / math.exp(self._level), context_rows)
        if size.steps:
            mean_context, mean_seconds = size.means()
            off_context = (context_rows - mean_context) / num_rows
            self._contexts.observe(off_context, (step.seconds - mean_seconds) / num_rows)
        size.steps.append(step)
        size.point = None
        size.at_step = self._num_steps
        self._known.add(index)
        self._forget()
        self._points = self._join()

    def seconds(self, num_rows: float) -> float:
        """Without context. 0 for no rows, and while nothing is known."""
        if num_rows <= 0 or not self._points:
            return 0.0
        return math.exp(self._level) * _interpolate(self._points, num_rows)

    @property
    def context_seconds(self) -> float:
        """What each token before a prompt row adds."""
        return math.exp(self._level) * self._contexts.slope

    def hoped_seconds(self, num_rows: int) -> float:
        """Of a size that was not measured, nearer to what the next smaller one takes: it is worth a try."""
        if self._index(num_rows) in self._known:
            return self.seconds(num_rows)
        before = bisect_left(self._points, (num_rows, 0.0)) - 1
        if before < 0:
            return self.seconds(num_rows)
        return (self.seconds(self._points[before][0]) + self.seconds(num_rows)) / 2

    def _index(self, num_rows: int) -> int:
        return min(bisect_left(self.edges, num_rows), len(self.edges) - 1)

    def _forget(self) -> None:
        oldest = self._num_steps - _NUM_FORGOTTEN_AFTER
        for index in [index for index in self._known if self._sizes[index].at_step < oldest]:
            self._sizes[index].forget(self._num_steps)
            if not self._sizes[index].steps:
                self._known.discard(index)

    def _join(self) -> list[Point]:
        slope = self._contexts.slope
        if abs(slope - self._joined_slope) > _SLOPE_CHANGE * self._joined_slope:
            self._joined_slope = slope
            for index in self._known:
                self._sizes[index].point = None
        measured = []
        for index in sorted(self._known):
            size = self._sizes[index]
            point = size.point = size.point or size.median(self._joined_slope)
            measured.append((*point, len(size.steps)))
        return _smooth(measured)


def _smooth(measured: list[tuple[float, float, int]]) -> list[Point]:
    """Rows, seconds and weights of sizes; pools neighbours that fall, where they were seldom measured.

    A pool lies at its middle, so that noise makes no two sizes look as if one cost as little as the other.
    """
    pools: list[tuple[float, float, int]] = []
    for pool in measured:
        while pools and pools[-1][1] > _NOISE * pool[1] and min(pools[-1][2], pool[2]) < _FEWEST_TRUSTED:
            pool = _pooled(pools.pop(), pool)
        pools.append(pool)
    points = [(rows, seconds) for rows, seconds, _ in pools]
    if measured and points[-1][0] < measured[-1][0]:
        points.append((measured[-1][0], points[-1][1]))
    return points


def _pooled(one: tuple[float, float, int], other: tuple[float, float, int]) -> tuple[float, float, int]:
    weight = one[2] + other[2]
    rows = (one[0] * one[2] + other[0] * other[2]) / weight
    return rows, (one[1] * one[2] + other[1] * other[2]) / weight, weight


def _interpolate(points: list[Point], num_rows: float) -> float:
    first_rows, first_seconds = points[0]
    last_rows, last_seconds = points[-1]
    if num_rows <= first_rows:
        return first_seconds * (1 - _USUAL_SHARE * (1 - num_rows / first_rows))
    if num_rows >= last_rows:
        return last_seconds * (1 + _USUAL_SHARE * (num_rows / last_rows - 1))
    index = bisect_left(points, (num_rows, 0.0))
    (rows_before, before), (rows_after, after) = points[index - 1], points[index]
    return before + (after - before) * (num_rows - rows_before) / (rows_after - rows_before)
