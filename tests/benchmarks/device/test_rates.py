from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import pytest

from benchmarks.device.findings import Verdict
from benchmarks.device.rates import Side, finding, in_turns
from benchmarks.device.runners import Runner
from benchmarks.device.speeds import decode_rate, prefill_rate
from benchmarks.device.time_budget import Deadline
from tests.benchmarks.device.fake_runner import FakeRunner
from tests.engine.fake_generator import FakeClock


def test_decode_counts_from_when_all_rows_are_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading the prompts takes ten times as long and is not counted."""
    runner = FakeRunner(step_seconds=0.5, rows_a_step=5, row_seconds=1.0)
    monkeypatch.setattr(time, "perf_counter", runner.clock)
    assert decode_rate(runner, [[1] * 10] * 4, num_steps=8) == pytest.approx(4 / 0.5)


def test_prefill_is_the_prompt_until_the_first_token(monkeypatch: pytest.MonkeyPatch) -> None:
    runner = FakeRunner(step_seconds=0.0, rows_a_step=25, row_seconds=0.01)
    monkeypatch.setattr(time, "perf_counter", runner.clock)
    assert prefill_rate(runner, [1] * 100) == pytest.approx(100.0)


class Turns:
    """Sides whose runs take a second, and the order they came in."""

    def __init__(self, clock: FakeClock) -> None:
        self.order: list[str] = []
        self.runners: list[FakeRunner] = []
        self._clock = clock

    def side(self, name: str) -> Side:
        @contextmanager
        def setting() -> Iterator[None]:
            self.order.append(name)
            yield

        return Side(name, self._make, setting)

    def _make(self) -> FakeRunner:
        self.runners.append(FakeRunner(1.0, 1))
        return self.runners[-1]

    def measure(self, runner: Runner, seed: int) -> float:
        self._clock.now += 1.0
        return float(seed + 1)


def test_sides_take_turns_and_the_first_round_is_not_counted() -> None:
    clock = FakeClock()
    turns = Turns(clock)
    pairs = in_turns(turns.side("a"), turns.side("b"), turns.measure, Deadline(clock() + 7.0, clock))
    assert turns.order == ["b", "a", "a", "b", "b", "a"]
    assert pairs == [(2.0, 2.0), (3.0, 3.0)]
    assert all(runner.is_closed for runner in turns.runners)


def test_one_round_is_counted_whatever_the_time() -> None:
    clock = FakeClock()
    turns = Turns(clock)
    assert len(in_turns(turns.side("a"), turns.side("b"), turns.measure, Deadline(clock(), clock))) == 1


def test_a_runner_that_fails_is_closed() -> None:
    runner = FakeRunner(1.0, 1)

    def measure(runner: Runner, seed: int) -> float:
        raise RuntimeError("no kernel")

    side = Side("a", lambda: runner, nullcontext)
    with pytest.raises(RuntimeError):
        in_turns(side, side, measure, Deadline(0.0, FakeClock()))
    assert runner.is_closed


@pytest.mark.parametrize(("mine", "verdict"), [(99.0, Verdict.PASS), (90.0, Verdict.SLOW)])
def test_the_verdict_goes_by_the_median_of_the_rounds_ratios(mine: float, verdict: Verdict) -> None:
    found = finding("decode", "generate_step", [(mine, 100.0), (mine / 2, 50.0), (1.0, 100.0)])
    assert found.verdict is verdict
    assert found.ratio == pytest.approx(mine / 100)
    assert "generate_step" in found.detail
