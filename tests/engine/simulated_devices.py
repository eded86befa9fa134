"""Devices as functions from a step's rows to seconds, on a virtual clock: no model, no MLX, always the same.

What differs from device to device is how a step's seconds grow with its rows; schedulers are judged by how
they fare on all of these shapes. ``unit`` is the seconds of a plain decode step of eight rows.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import dataclass, replace

RowCurve = Callable[[int], float]  # rows that are computed -> seconds
FAST, SLOW = 0.002, 0.150  # seconds of a plain decode step of eight rows


@dataclass(frozen=True, slots=True)
class StepRows:
    """What the seconds of a step depend on."""

    num_decode_rows: int
    num_prompt_rows: int
    decode_context: int = 0  # sum over the rows of the tokens before them
    prompt_context: int = 0

    @property
    def num_rows(self) -> int:
        return self.num_decode_rows + self.num_prompt_rows

    @property
    def plain(self) -> StepRows:
        """The same step without prompts."""
        return StepRows(self.num_decode_rows, 0, self.decode_context)


@dataclass(frozen=True, slots=True)
class Device:
    name: str
    curve: RowCurve
    unit: float
    multiple: int = 1  # of rows, which chunks of a good size fill up to
    context_share: float = 0.0  # of a row's seconds in the unit step, for each 1,000 tokens before the row
    noise: float = 1.0  # the slowest step takes this many times the fastest one of its kind
    drift: Callable[[float], float] | None = None  # seconds on the clock -> factor

    def seconds(self, rows: StepRows, now_seconds: float = 0.0) -> float:
        """Without noise."""
        if not rows.num_rows:
            return 0.0
        contexts = rows.decode_context + rows.prompt_context
        seconds = self.curve(rows.num_rows) + contexts * self.context_share * self.unit / 8000
        return seconds * (self.drift(now_seconds) if self.drift else 1.0)

    def stall_seconds(self, rows: StepRows, now_seconds: float = 0.0) -> float:
        """What a step's prompts add to a plain one, without noise; 0 where nobody is held up."""
        if not rows.num_decode_rows:
            return 0.0
        return self.seconds(rows, now_seconds) - self.seconds(rows.plain, now_seconds)

    def noises(self) -> Callable[[], float]:
        """Factors of one run's steps, always the same ones; 1 on average by their logarithms."""
        source = random.Random(self.name)
        half = math.log(self.noise) / 2
        return lambda: math.exp(source.uniform(-half, half))


def memory_bound(unit: float, flat_rows: int = 64) -> Device:
    """Reading the weights takes the time, until there are many rows."""
    return Device(f"memory-{flat_rows}", lambda r: unit * max(1.0, r / flat_rows), unit)


def compute_bound(unit: float, fixed_share: float = 0.05) -> Device:
    """A row costs the same alone as among many, beside a fixed part of the unit."""
    per_row = unit * (1 - fixed_share) / 8
    return Device(f"compute+{fixed_share:.0%}", lambda r: unit * fixed_share + per_row * r, unit)


def row_by_row(unit: float, last_row: int, flat_rows: int = 128) -> Device:
    """Row by row up to ``last_row``; then another kernel, which takes as long for up to ``flat_rows``."""
    per_row = unit / min(8, last_row)
    most = per_row * last_row
    return Device(f"rowwise-{last_row}", lambda r: most * max(min(1.0, r / last_row), r / flat_rows), unit)


def switching(unit: float, last_row: int = 20, flat_rows: int = 64) -> Device:
    """As ``row_by_row``, but the other kernel takes half as long as the last of the single rows."""
    per_row = unit / 8

    def curve(rows: int) -> float:
        return per_row * (rows if rows <= last_row else last_row / 2 * max(1.0, rows / flat_rows))

    return Device(f"switching-{last_row}", curve, unit)


def stepped(unit: float, multiple: int) -> Device:
    """Whole tiles of rows: a started one costs what a full one does."""
    per_tile = unit / -(-8 // multiple)
    return Device(f"stepped-{multiple}", lambda r: per_tile * -(-r // multiple), unit, multiple=multiple)


def host_bound(unit: float) -> Device:
    """The host prepares a step for longer than the device needs for it."""
    return Device("host", lambda r: unit * (1 + r / 1000), unit)


def cpu(unit: float) -> Device:
    """Half of a small step is fixed; rows are cheaper by the dozen."""
    return Device("cpu", lambda r: unit * (0.7 + 0.3 * -(-r // 16) / 1), unit, multiple=16)


def noisy(device: Device) -> Device:
    return replace(device, name=f"{device.name} noisy", noise=2.0)


def drifting(device: Device, factor: float) -> Device:
    """Becomes so many times as slow within 200 units, and stays so for as long; and back, and again."""
    period = 400 * device.unit

    def drift(now_seconds: float) -> float:
        phase = now_seconds / period % 2
        return float(factor ** min(1.0, 2 * (phase if phase < 1 else max(0.0, 1.5 - phase))))

    return replace(device, name=f"{device.name} x{factor:g}", drift=drift)


def with_context(device: Device) -> Device:
    """Each 1,000 tokens before a row cost a quarter of what it costs in the unit step."""
    return replace(device, name=f"{device.name} ctx", context_share=0.25)


def devices(unit: float) -> list[Device]:
    """One of each shape."""
    return [
        memory_bound(unit, 64),
        memory_bound(unit, 256),
        compute_bound(unit),
        compute_bound(unit, 0.5),
        row_by_row(unit, 6),
        row_by_row(unit, 32),
        switching(unit),
        stepped(unit, 4),
        stepped(unit, 8),
        stepped(unit, 16),
        stepped(unit, 64),
        host_bound(unit),
        cpu(unit),
        noisy(compute_bound(unit)),
        noisy(memory_bound(unit)),
        noisy(cpu(unit)),
        drifting(compute_bound(unit), 2.0),
        drifting(memory_bound(unit), 0.5),
    ]
