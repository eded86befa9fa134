"""Measures each kind of kernels in a child process: whatever one of them does, this process goes on."""

from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

KERNELS_VARIABLE = "OPENBLAS_CORETYPE"  # read by the library when it is loaded

_PROBE = Path(__file__).with_name("probe.py")
# Signals by which the kernels themselves end a process.
_CRASHES = (signal.SIGILL, signal.SIGSEGV, signal.SIGBUS, signal.SIGFPE, signal.SIGABRT)
_TOTAL_SECONDS = 3.0
_PROBE_SECONDS = 0.1
_MOST_PROBE_SECONDS = 1.5
_NUM_ROUNDS = 2
# Kernels are taken in place of the library's own choice if they gain this much: less is noise.
_LEAST_GAIN = 1.08
_LEAST_BUSY_GAIN = 1.6  # where the rounds do not agree
# Rounds that differ by more than this met a busy machine.
_STEADY = 1.3
# What is further behind the best than this after a round is not measured again.
_HOPELESS = 0.7


@dataclass(frozen=True, slots=True)
class Timing:
    """``core`` is the kernels' name by the library, ``gflops`` a figure for each number of rows."""

    core: str
    gflops: tuple[float, ...]

    @property
    def score(self) -> float:
        """The geometric mean: each number of rows counts alike."""
        return math.exp(sum(map(math.log, self.gflops)) / len(self.gflops))

    @property
    def best(self) -> float:
        return max(self.gflops)

    def combined(self, other: Timing) -> Timing:
        """The better of both at each number of rows: what else runs on the machine only adds time."""
        return Timing(self.core, tuple(map(max, self.gflops, other.gflops)))


@dataclass(frozen=True, slots=True)
class Broken:
    """The kernels crashed or gave wrong products."""

    reason: str


Outcome = Timing | Broken | None  # None: it is not known, as no process could be started or time was up
Probe = Callable[[str | None, float], Outcome]  # kernels (None: the library's own choice), most seconds


@dataclass(frozen=True, slots=True)
class Measured:
    """``kernels`` is the winner's name, None for the library's own choice."""

    kernels: str | None
    fastest: Timing | None  # None: nothing is known
    own: Outcome
    is_settled: bool = False  # nothing was cut short, and the rounds agree: worth remembering


def measure_kernels(
    candidates: Iterable[str], probe: Probe, total_seconds: float = _TOTAL_SECONDS
) -> Measured:
    """In rounds, so that a moment in which the machine is busy meets all of them; never longer than told."""
    rounds: list[dict[str | None, Outcome]] = []
    end_seconds = time.monotonic() + total_seconds
    names: list[str | None] = [None, *candidates]
    for _ in range(_NUM_ROUNDS):
        rounds.append(_measure_round(names, probe, end_seconds))
        outcomes = _merged(rounds)
        names = [name for name in names if _may_win(name, outcomes)]
    is_settled = _is_settled(rounds)
    kernels, fastest = _decide(outcomes, _LEAST_GAIN if is_settled else _LEAST_BUSY_GAIN)
    return Measured(kernels, fastest, outcomes.get(None), is_settled)


def _measure_round(names: list[str | None], probe: Probe, end_seconds: float) -> dict[str | None, Outcome]:
    outcomes: dict[str | None, Outcome] = {}
    for name in names:
        left_seconds = end_seconds - time.monotonic()
        if _is_own(name, outcomes.get(None)):
            continue
        outcome = probe(name, min(left_seconds, _MOST_PROBE_SECONDS)) if left_seconds > 0 else None
        if isinstance(outcome, Timing) and name is not None and outcome.core.lower() != name.lower():
            continue  # this library lacks them
        outcomes[name] = outcome
    return outcomes


def _is_settled(rounds: list[dict[str | None, Outcome]]) -> bool:
    if any(outcome is None for each in rounds for outcome in each.values()):
        return False
    scores = [own.score for each in rounds if isinstance(own := each.get(None), Timing)]
    return not scores or max(scores) <= _STEADY * min(scores)


def _is_own(name: str | None, own: Outcome) -> bool:
    """True of kernels that the library takes by itself."""
    return name is not None and isinstance(own, Timing) and name.lower() == own.core.lower()


def _merged(rounds: list[dict[str | None, Outcome]]) -> dict[str | None, Outcome]:
    merged: dict[str | None, Outcome] = {}
    for name, now in (item for each in rounds for item in each.items()):
        before = merged.get(name)
        if isinstance(before, Timing) and isinstance(now, Timing):
            merged[name] = before.combined(now)
        else:
            merged[name] = before if now is None else now
    return merged


def _may_win(name: str | None, outcomes: dict[str | None, Outcome]) -> bool:
    outcome = outcomes.get(name)
    if name is None:
        return not isinstance(outcome, Broken)  # without it there is nothing to compare with
    best = max((each.score for each in outcomes.values() if isinstance(each, Timing)), default=0.0)
    return isinstance(outcome, Timing) and outcome.score >= _HOPELESS * best


def _decide(outcomes: dict[str | None, Outcome], least_gain: float) -> tuple[str | None, Timing | None]:
    own = outcomes.get(None)
    timings = {name: each for name, each in outcomes.items() if name is not None and isinstance(each, Timing)}
    name = max(timings, key=lambda each: timings[each].score, default=None)
    if isinstance(own, Timing) and (name is None or timings[name].score < least_gain * own.score):
        return None, own
    if own is None or name is None:  # nothing to compare with, or nothing to take
        return None, None
    return name, timings[name]


def process_probe(library: str, num_threads: int) -> Probe:
    """``num_threads``: 0 leaves it to the library."""
    command = [sys.executable, "-I", "-S", str(_PROBE), library, str(num_threads), str(_PROBE_SECONDS)]

    def probe(kernels: str | None, limit_seconds: float) -> Outcome:
        environment = {name: value for name, value in os.environ.items() if name != KERNELS_VARIABLE}
        if kernels is not None:
            environment[KERNELS_VARIABLE] = kernels
        try:
            done = subprocess.run(
                command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, timeout=limit_seconds
            )
        except (OSError, subprocess.TimeoutExpired):
            return None
        return _outcome(done.returncode, done.stdout)

    return probe


def _outcome(return_code: int, output: bytes) -> Outcome:
    if -return_code in _CRASHES:
        return Broken(signal.Signals(-return_code).name)
    try:
        core, is_right, *figures = output.decode().split()
        timing = Timing(core, tuple(map(float, figures)))
    except ValueError:
        return None
    return timing if is_right == "right" and timing.gflops else Broken("wrong products")
