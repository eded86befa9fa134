"""Decode steps of several engines over the same model, for timing them in turns."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from statistics import median

STEPS_A_TURN = 5
NUM_WARM_UP_STEPS = 6

Step = Callable[[], object]


@dataclass(slots=True)
class Turns:
    """Steps of several engines in turn, so that whatever else the machine does meets all alike."""

    steps: dict[str, Step]
    milliseconds: dict[str, list[float]] = field(default_factory=dict)  # of a step: one for each turn

    def run(self, num_turns: int) -> None:
        for step in self.steps.values():
            for _ in range(NUM_WARM_UP_STEPS):
                step()
        names = list(self.steps)
        for turn in range(num_turns):
            first = turn % len(names)
            for name in names[first:] + names[:first]:
                self.milliseconds.setdefault(name, []).append(_milliseconds(self.steps[name]))

    def median(self, name: str) -> float:
        return median(self.milliseconds[name])

    def ratio(self, name: str, reference: str) -> float:
        """Median of the turns' ratios: a drift of the machine cancels out."""
        pairs = zip(self.milliseconds[name], self.milliseconds[reference], strict=True)
        return median(ours / theirs for ours, theirs in pairs)


def _milliseconds(step: Step) -> float:
    started = time.perf_counter()
    for _ in range(STEPS_A_TURN):
        step()
    return 1000 * (time.perf_counter() - started) / STEPS_A_TURN
