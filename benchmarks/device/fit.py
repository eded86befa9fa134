"""Which models this device can hold, and which of them the time is enough for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from benchmarks.device.shapes import REAL, TINY, Shape

Sizes = Literal["auto", "tiny"]

# Beside the weights: keys and values of 32 chats and of a long prompt, a step's arrays, mlx-lm's caches.
_RUNNING_BYTES = 3 * 1024**3
_RUNNING_SHARE = 0.1
# What a model's parts take at least, its random weights and compiled kernels included.
_SECONDS_PER_MODEL = 45.0
_SECONDS_FOR_THE_REST = 60.0


@dataclass(frozen=True, slots=True)
class Choice:
    """A model of the list, and why it is left out, if it is."""

    shape: Shape
    reason: str = ""

    @property
    def is_taken(self) -> bool:
        return not self.reason


def usable_bytes(info: Mapping[str, Any], is_cpu: bool) -> int | None:
    """What ``mx.device_info`` lets arrays take; None where it does not say.

    Metal says how much may be used, CUDA what is free.
    """
    if is_cpu:
        return None
    for name in ("free_memory", "max_recommended_working_set_size", "total_memory", "memory_size"):
        size = info.get(name)
        if isinstance(size, int) and size > 0:
            return size
    return None


def choose_models(
    info: Mapping[str, Any], is_cpu: bool, sizes: Sizes, total_seconds: float
) -> tuple[Choice, ...]:
    """All models of the sizes asked for, in their order of worth."""
    if is_cpu or sizes == "tiny":
        return tuple(Choice(shape) for shape in TINY)
    most = max(1, int((total_seconds - _SECONDS_FOR_THE_REST) / _SECONDS_PER_MODEL))
    return _within_time([_fit(shape, usable_bytes(info, is_cpu)) for shape in REAL], most)


def _fit(shape: Shape, limit_bytes: int | None) -> Choice:
    needed_bytes = int(shape.weight_bytes * (1 + _RUNNING_SHARE)) + _RUNNING_BYTES
    if limit_bytes is None or needed_bytes <= limit_bytes:
        return Choice(shape)
    return Choice(shape, f"needs {needed_bytes / 1e9:.0f} GB, {limit_bytes / 1e9:.0f} GB can be used")


def _within_time(choices: Sequence[Choice], most: int) -> tuple[Choice, ...]:
    taken = [choice for choice in choices if choice.is_taken]
    late = {choice.shape.name for choice in taken[most:]}
    return tuple(
        Choice(choice.shape, "no time left; give more --minutes") if choice.shape.name in late else choice
        for choice in choices
    )
