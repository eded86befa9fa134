"""The tuner on devices made of numbers: what it chooses, and that noise makes it choose nothing."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from unittest import mock

import mlx.core as mx
import pytest

from api.engine.device.platform import gpu_platform
from api.engine.tuning import tune as tune_module
from api.engine.tuning.choices import Tuning, first_guesses
from api.engine.tuning.steps import DecodeRows, TimedSteps
from api.engine.tuning.tune import Limits, Tuner, early_limit_bytes, largest_useful_step

GUESSES = replace(first_guesses(gpu_platform()), max_step_tokens=512)
KB_PER_TOKEN = 100_000
Cost = Callable[[Tuning, DecodeRows], float]


@dataclass(slots=True)
class FakeDevice:
    """``Engine`` and ``TimedSteps`` in one: what a step takes follows from the tuning that is applied."""

    decode: Cost
    chunk: Callable[[int], float] = lambda rows: 0.01 + 0.0001 * rows
    can_compile: bool = True
    can_fill_rows: bool = True
    now: float = 0.0
    applied: list[Tuning] = field(default_factory=list)

    def apply(self, tuning: Tuning) -> None:
        self.applied.append(tuning)

    def decode_seconds(self, rows: DecodeRows, num_steps: int) -> float:
        seconds = self.decode(self.applied[-1], rows)
        self.now += seconds * (num_steps + 3)
        return seconds

    def chunk_seconds(self, num_rows: int, num_steps: int) -> float:
        self.now += self.chunk(num_rows) * (num_steps + 1)
        return self.chunk(num_rows)


def tune(device: FakeDevice, guesses: Tuning = GUESSES, shapes: tuple[tuple[int, int], ...] = ()) -> Tuning:
    limits = Limits(
        num_rows=32, kv_bytes=1 << 34, slot_bytes=lambda tokens: tokens * KB_PER_TOKEN, seconds=6.0
    )
    steps: TimedSteps = device  # type: ignore[assignment]
    with mock.patch("time.perf_counter", lambda: device.now):
        tuned = Tuner(device, steps, limits, shapes, mx.float32).tune(guesses)
    assert replace(device.applied[-1], is_settled=tuned.is_settled) == tuned
    return tuned


def state_bytes(rows: DecodeRows) -> int:
    return rows.num_rows * rows.capacity * KB_PER_TOKEN


def test_each_way_that_is_faster_is_chosen() -> None:
    def decode(tuning: Tuning, rows: DecodeRows) -> float:
        seconds = 0.010 + 0.002 * (tuning.noise == "device") * (rows.sampling.temperature > 0)
        return seconds + 0.003 * tuning.compiles_steps + 0.001 * (not tuning.early_limit_bytes)

    tuned = tune(FakeDevice(decode))
    assert (tuned.noise, tuned.compiles_steps) == ("host", False)
    assert tuned.early_limit_bytes > 1e15  # nothing is ever copied there
    assert tuned.gains["compiled"] == pytest.approx(0.014 / 0.011, abs=0.01)


def test_buffers_that_are_copied_bound_the_early_dispatch() -> None:
    copy_seconds_per_byte, gap_seconds = 1e-11, 0.001

    def decode(tuning: Tuning, rows: DecodeRows) -> float:
        copied = state_bytes(rows) * copy_seconds_per_byte
        return 0.01 + (copied if tuning.early_limit_bytes else gap_seconds)

    tuned = tune(FakeDevice(decode))
    pays_up_to = gap_seconds / copy_seconds_per_byte
    assert 0.5 * pays_up_to < tuned.early_limit_bytes <= pays_up_to  # not for a gain that nobody sees


def test_where_a_copy_always_costs_more_it_is_dispatched_late() -> None:
    def decode(tuning: Tuning, rows: DecodeRows) -> float:
        return 0.01 + (0.005 if tuning.early_limit_bytes else 0.001)

    assert tune(FakeDevice(decode)).early_limit_bytes == 0


@pytest.mark.parametrize("seed", range(5))
def test_noise_changes_no_guess(seed: int) -> None:
    """Times that differ by half from one to the next, and nothing to be gained."""
    draw = random.Random(seed)
    tuned = tune(FakeDevice(lambda tuning, rows: 0.01 * draw.uniform(1, 1.5)))
    assert (tuned.noise, tuned.compiles_steps, tuned.early_limit_bytes) == ("device", True, 0)


def test_what_cannot_be_compiled_or_filled_up_is_not() -> None:
    device = FakeDevice(lambda tuning, rows: 0.01, can_compile=False, can_fill_rows=False)
    tuned = tune(device, replace(GUESSES, row_multiple=16), ((64, 64),))
    assert (tuned.compiles_steps, tuned.row_multiple) == (False, 1)


def test_the_row_multiple_comes_from_the_products() -> None:
    device = FakeDevice(lambda tuning, rows: 0.01)
    with (
        mock.patch.object(tune_module, "measure_row_seconds", return_value={3: 1.0, 16: 1.0}),
        mock.patch.object(tune_module, "best_row_multiple", return_value=16),
    ):
        assert tune(device, shapes=((64, 64),)).row_multiple == 16


@pytest.mark.parametrize(("last_seconds", "is_settled"), [(0.01, True), (0.012, True), (0.02, False)])
def test_a_machine_that_was_busy_is_known_by_its_first_step(last_seconds: float, is_settled: bool) -> None:
    device = FakeDevice(lambda tuning, rows: last_seconds if device.now else 0.01)
    assert tune(device).is_settled == is_settled


def test_the_curve_has_a_step_of_each_size() -> None:
    device = FakeDevice(lambda tuning, rows: 0.001 * rows.num_rows, lambda rows: 0.03 + 0.0001 * rows)
    tuned = tune(device)
    assert list(tuned.step_seconds) == [1, 2, 4, 8, 16, 32, 64, 128, 256, 512]
    assert tuned.step_seconds[8] == pytest.approx(0.008) and tuned.step_seconds[128] == pytest.approx(0.0428)


def test_a_device_that_is_slow_tells_of_sizes_far_apart_first() -> None:
    device = FakeDevice(lambda tuning, rows: 0.1 + 0.005 * rows.num_rows, lambda rows: 0.1 + 0.003 * rows)
    tuned = tune(device)
    assert {8, 32, 256} <= set(tuned.step_seconds) and device.now < 9


def test_a_slow_device_is_not_measured_for_minutes() -> None:
    device = FakeDevice(lambda tuning, rows: 1.0 + 0.1 * rows.num_rows, lambda rows: 0.3 * rows)
    tuned = tune(device)
    assert device.now < 30 and tuned.max_step_tokens == GUESSES.max_step_tokens
    assert (tuned.noise, tuned.compiles_steps) == (GUESSES.noise, GUESSES.compiles_steps)


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        ({1: 1.0, 64: 1.0, 128: 1.0, 512: 1.0}, 512),  # flat: the more the better
        ({1: 1.0, 64: 64.0, 128: 128.0, 512: 512.0}, 64),  # a row costs the same alone
        ({1: 1.0, 64: 2.0, 128: 3.0, 512: 12.0}, 128),
        ({1: 1.0, 64: 2.0}, 512),  # not measured so far
    ],
)
def test_rows_beyond_which_nothing_is_gained(seconds: dict[int, float], expected: int) -> None:
    assert largest_useful_step(seconds, 512) == expected


def test_a_gain_at_no_size_is_none() -> None:
    assert early_limit_bytes((100, 0.0), (1000, 0.5), 0.01) == 0
    assert early_limit_bytes((100, 0.5), (100, 0.1), 0.01) > 1e15  # one size tells nothing of copies
