"""Rotary embedding for MLX's CPU backend: the angles of a step are computed once for all layers.

MLX's own function computes the sines and cosines of every row again in each call. Metal and CUDA,
where it is a fused kernel, never use this module.
"""

from __future__ import annotations

import math
from typing import Any

import mlx.core as mx
import mlx.nn as nn
from mlx_lm.models import rope_utils


class RopeFactory:
    """Stands in for ``mlx_lm.models.rope_utils.initialize_rope``; plain ropes get shared angles."""

    def __init__(self) -> None:
        self._angles: dict[tuple[int, float, float], StepAngles] = {}

    def __call__(self, *args: Any, **kwargs: Any) -> nn.Module:
        rope = rope_utils.initialize_rope(*args, **kwargs)
        if type(rope) is not nn.RoPE or rope.traditional:
            return rope
        key = (rope.dims, rope.base, rope.scale)
        return StepRope(*key, self._angles.setdefault(key, StepAngles(*key)))


class StepAngles:
    """Cosines and sines for the rows of one step; remembers the last positions by identity."""

    def __init__(self, dims: int, base: float, scale: float) -> None:
        half = dims // 2
        self._frequencies = mx.exp(mx.arange(half) * (-math.log(base) / half)) * scale
        self._positions: mx.array | None = None
        self._values: tuple[mx.array, mx.array] | None = None

    def at(self, positions: mx.array) -> tuple[mx.array, mx.array]:
        """``positions [rows]`` -> cosines and signed sines, float32 ``[rows, 1, 1, dims]``."""
        if self._values is None or self._positions is not positions:
            angles = (positions[:, None] * self._frequencies)[:, None, None]
            cos, sin = mx.cos(angles), mx.sin(angles)
            self._values = (mx.concatenate([cos, cos], axis=-1), mx.concatenate([-sin, sin], axis=-1))
            self._positions = positions
        return self._values


class StepRope(nn.RoPE):  # type: ignore[misc]  # mlx.nn is untyped
    """``nn.RoPE`` (not traditional) that is fast for rows of length one with a position each."""

    def __init__(self, dims: int, base: float, scale: float, angles: StepAngles) -> None:
        super().__init__(dims, traditional=False, base=base, scale=scale)
        self._angles = angles

    def __call__(self, x: mx.array, offset: int | mx.array = 0) -> mx.array:
        """``x [rows, heads, 1, head_dim]`` with ``offset [rows]``; anything else goes to MLX."""
        if not isinstance(offset, mx.array) or offset.ndim != 1 or x.shape[2] != 1 or x.dtype != mx.float32:
            rotated: mx.array = super().__call__(x, offset)
            return rotated
        cos, sin = self._angles.at(offset)
        half = self.dims // 2
        swapped = mx.concatenate([x[..., half : self.dims], x[..., :half]], axis=-1)
        rotated = x[..., : self.dims] * cos + swapped * sin
        if self.dims == x.shape[-1]:
            return rotated
        return mx.concatenate([rotated, x[..., self.dims :]], axis=-1)
