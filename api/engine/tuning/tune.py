"""Measures a device's choices with the model that is loaded: one after another, each with those before."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import mlx.core as mx

from api.engine.tuning.choices import Tuning
from api.engine.tuning.pairs import FEWEST_PAIRS, LEAST_GAIN, Comparison, compare
from api.engine.tuning.row_products import best_row_multiple, measure_row_seconds
from api.engine.tuning.steps import GREEDY, MAX_DECODE_STEPS, DecodeRows, TimedSteps
from api.types import SamplingParams

LIMIT_SECONDS = 6.0  # of all measurements together, more or less
# What is left is for the curve.
_SHARES = {"compile": 0.15, "rows": 0.15, "noise": 0.1, "dispatch": 0.2}
_TIMED_SECONDS = 0.05  # of one timing, where steps are short enough
_FEWEST_STEPS = 2 * FEWEST_PAIRS * 5  # of two ways in turn, those included that do not count
_STEPS_A_SIZE = 4  # those included that do not count
_LEAST_STEP_ROWS = 64
_ROWS = 8  # sequences in the steps that are compared
_LONG_CAPACITY = 2048
_BUSY = 1.3  # a step that takes so many times as long as before met a busy machine
_NO_LIMIT_BYTES = 1e18
# A step of so many rows is large enough when a row in it costs no more than this times the least.
_AS_GOOD = 1.03
_SAMPLED = SamplingParams(temperature=0.8, seed=1)


class Engine(Protocol):
    """What is tuned."""

    def apply(self, tuning: Tuning) -> None:
        """From the next step on."""

    @property
    def can_compile(self) -> bool: ...

    @property
    def can_fill_rows(self) -> bool: ...


@dataclass(frozen=True, slots=True)
class Limits:
    """What measuring may take."""

    num_rows: int  # sequences in the batch at once
    kv_bytes: int  # for slots
    slot_bytes: Callable[[int], int]  # tokens -> bytes
    seconds: float


class Tuner:
    """Starts from the platform's guesses; another way is chosen only where it clearly gains."""

    def __init__(
        self,
        engine: Engine,
        steps: TimedSteps,
        limits: Limits,
        product_shapes: Sequence[tuple[int, int]],
        dtype: mx.Dtype,
    ) -> None:
        """``product_shapes``: (outputs, inputs) of a layer's products with ``dtype``; none: not measured."""
        self._engine = engine
        self._steps = steps
        self._limits = limits
        self._shapes = product_shapes
        self._dtype = dtype
        self._rows = min(_ROWS, limits.num_rows)
        self._started_seconds = 0.0
        self._plain_seconds = 0.0  # of a decode step with the guesses

    def tune(self, guesses: Tuning) -> Tuning:
        """Leaves the engine empty, with the choices applied."""
        tuning = guesses
        self._started_seconds = time.perf_counter()
        self._engine.apply(tuning)
        self._plain_seconds = self._steps.decode_seconds(DecodeRows(self._rows), 1)
        for choose in (self._compile, self._fill_rows, self._noise, self._dispatch, self._curve):
            tuning = choose(tuning)
            self._engine.apply(tuning)
        return replace(tuning, is_settled=self._is_settled(guesses, tuning))

    def _compile(self, tuning: Tuning) -> Tuning:
        if not self._engine.can_compile:
            return replace(tuning, compiles_steps=False)
        if not self._is_short("compile"):
            return tuning
        found = self._compare(tuning, replace(tuning, compiles_steps=not tuning.compiles_steps), "compile")
        chosen = tuning.compiles_steps != found.is_other_better
        return replace(tuning, compiles_steps=chosen, gains=_noted(tuning, "compiled", found))

    def _fill_rows(self, tuning: Tuning) -> Tuning:
        if not self._shapes or not self._engine.can_fill_rows:
            return replace(tuning, row_multiple=1)
        limit_seconds = self._limits.seconds * _SHARES["rows"]
        seconds = measure_row_seconds(self._shapes, dtype=self._dtype, limit_seconds=limit_seconds)
        return replace(tuning, row_multiple=best_row_multiple(seconds, guess=tuning.row_multiple))

    def _noise(self, tuning: Tuning) -> Tuning:
        if not self._is_short("noise"):
            return tuning
        other = replace(tuning, noise="device" if tuning.noise == "host" else "host")
        found = self._compare(tuning, other, "noise", _SAMPLED)
        gains = _noted(tuning, "random numbers", found)
        return replace(other if found.is_other_better else tuning, gains=gains)

    def _dispatch(self, tuning: Tuning) -> Tuning:
        """With little state and with much: where buffers in flight are copied, that takes the more the more
        there is, and what the gap costs stays the same."""
        if not self._is_short("dispatch"):
            return tuning
        rows = DecodeRows(self._rows)
        capacity = self._long_capacity()
        long_rows = replace(rows, capacity=capacity)
        early = replace(tuning, early_limit_bytes=_NO_LIMIT_BYTES)
        limit_seconds = self._limits.seconds * _SHARES["dispatch"] / 2
        short = compare(self._timed(tuning, rows), self._timed(early, rows), limit_seconds)
        if not short.is_other_better:
            return tuning
        long = compare(self._timed(tuning, long_rows), self._timed(early, long_rows), limit_seconds)
        limit_bytes = early_limit_bytes(
            (self._rows * self._limits.slot_bytes(rows.capacity), _saved(short)),
            (self._rows * self._limits.slot_bytes(capacity), _saved(long)),
            short.guess_seconds * (1 - 1 / LEAST_GAIN),
        )
        found = replace(tuning, early_limit_bytes=limit_bytes)
        return replace(found, gains=_noted(tuning, "dispatch early", short)) if limit_bytes else found

    def _curve(self, tuning: Tuning) -> Tuning:
        """Steps of single rows while they are few, else a prompt's chunks; sizes far apart come first.

        What the choices before did not use is there for it.
        """
        end_seconds = self._started_seconds + self._limits.seconds
        seconds = {self._rows: self._plain_seconds}
        for num_rows in _sizes(tuning.max_step_tokens):
            nearest = min(seconds, key=lambda known: abs(known - num_rows))
            expected = seconds[nearest] * max(1.0, num_rows / nearest) ** 0.5
            if time.perf_counter() + _STEPS_A_SIZE * expected <= end_seconds:
                seconds[num_rows] = self._step_seconds(num_rows)
        measured = replace(tuning, step_seconds=dict(sorted(seconds.items())))
        return replace(measured, max_step_tokens=largest_useful_step(seconds, tuning.max_step_tokens))

    def _step_seconds(self, num_rows: int) -> float:
        if num_rows <= self._rows:
            return self._steps.decode_seconds(DecodeRows(num_rows), 2)
        return self._steps.chunk_seconds(num_rows, 1)

    def _is_settled(self, guesses: Tuning, tuning: Tuning) -> bool:
        """Whether the step that was timed first takes as long as then."""
        self._engine.apply(guesses)
        again_seconds = self._steps.decode_seconds(DecodeRows(self._rows), 1)
        self._engine.apply(tuning)
        return 1 / _BUSY < again_seconds / self._plain_seconds < _BUSY

    def _is_short(self, share: str) -> bool:
        """Whether there is time for as many pairs as it takes. If not, the host's part is small anyway."""
        return _FEWEST_STEPS * self._plain_seconds < self._limits.seconds * _SHARES[share]

    def _compare(
        self, guess: Tuning, other: Tuning, share: str, sampling: SamplingParams = GREEDY
    ) -> Comparison:
        rows = DecodeRows(self._rows, sampling=sampling)
        limit_seconds = self._limits.seconds * _SHARES[share]
        return compare(self._timed(guess, rows), self._timed(other, rows), limit_seconds)

    def _timed(self, tuning: Tuning, rows: DecodeRows) -> Callable[[], float]:
        num_steps = 2

        def seconds() -> float:
            nonlocal num_steps
            self._engine.apply(tuning)
            found = self._steps.decode_seconds(rows, num_steps)
            num_steps = max(2, min(MAX_DECODE_STEPS, round(_TIMED_SECONDS / max(found, 1e-6))))
            return found

        return seconds

    def _long_capacity(self) -> int:
        """Tokens of a slot, so that all rows' slots take at most half of what there is."""
        capacity = _LONG_CAPACITY
        while capacity > 256 and self._rows * self._limits.slot_bytes(capacity) > self._limits.kv_bytes / 2:
            capacity //= 2
        return capacity


def largest_useful_step(seconds: Mapping[int, float], most: int) -> int:
    """The rows of a step beyond which a row costs no less; ``most`` where that was not measured so far."""
    if not seconds or max(seconds) < most:
        return most
    least = min(s / n for n, s in seconds.items())
    enough = min(n for n, s in seconds.items() if s / n <= _AS_GOOD * least)
    return max(enough, min(_LEAST_STEP_ROWS, most))


def early_limit_bytes(short: tuple[int, float], long: tuple[int, float], least_saved_seconds: float) -> float:
    """The state up to which dispatching early saves time; 0: never.

    ``short`` and ``long``: the bytes of two states, and the seconds that it saved with each.
    """
    (short_bytes, short_saved), (long_bytes, long_saved) = short, long
    if short_saved < least_saved_seconds:
        return 0.0
    if long_saved >= short_saved - least_saved_seconds or long_bytes <= short_bytes:
        return _NO_LIMIT_BYTES
    lost_per_byte = (short_saved - long_saved) / (long_bytes - short_bytes)
    return short_bytes + (short_saved - least_saved_seconds) / lost_per_byte


def _saved(found: Comparison) -> float:
    """Seconds a step, by the median of the pairs' ratios."""
    return found.guess_seconds * (1 - 1 / found.gain)


def _noted(tuning: Tuning, name: str, found: Comparison) -> dict[str, float]:
    """The gains so far and this one: of what was chosen, over the other way."""
    gain = found.gain if found.is_other_better else 1 / found.gain
    return {**tuning.gains, name: round(gain, 3)}


def _sizes(most: int) -> list[int]:
    """Powers of two up to ``most``, and that: every third at first, then what lies between."""
    sizes = [1 << power for power in range(most.bit_length()) if 1 << power < most] + [most]
    coarse = [size for index, size in enumerate(sizes) if index % 3 == 2 or size == most]
    return coarse + [size for size in sizes if size not in coarse]
