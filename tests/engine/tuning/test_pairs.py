from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import cycle

import pytest

from api.engine.tuning.pairs import compare


class Machine:
    """A clock that moves by what is timed."""

    def __init__(self) -> None:
        self.now = 0.0

    def work(self, seconds: Iterator[float]) -> Callable[[], float]:
        def run() -> float:
            taken = next(seconds)
            self.now += taken
            return taken

        return run

    def clock(self) -> float:
        return self.now


def test_the_gain_is_the_median_of_the_pairs() -> None:
    machine = Machine()
    guess, other = machine.work(cycle([1.0, 1.2, 30.0])), machine.work(cycle([0.5]))
    found = compare(guess, other, limit_seconds=1000, clock=machine.clock)
    assert (found.gain, found.num_pairs, found.is_other_better) == (2.4, 9, True)


def test_a_machine_that_slows_down_for_all_changes_no_verdict() -> None:
    machine = Machine()
    drifting = [1.1**i for i in range(40)]
    steps = iter(drifting)
    same = machine.work(steps)
    found = compare(same, same, limit_seconds=1000, max_pairs=8, clock=machine.clock)
    assert found.gain == pytest.approx(1.0, abs=0.11)  # who is second changes from pair to pair


def test_too_few_pairs_change_nothing() -> None:
    machine = Machine()
    found = compare(machine.work(cycle([2.0])), machine.work(cycle([1.0])), 4, clock=machine.clock)
    assert (found.num_pairs, found.is_other_better) == (1, False)


def test_a_small_gain_changes_nothing() -> None:
    machine = Machine()
    found = compare(machine.work(cycle([1.02])), machine.work(cycle([1.0])), 100, clock=machine.clock)
    assert found.num_pairs == 9 and not found.is_other_better
