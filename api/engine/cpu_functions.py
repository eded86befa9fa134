"""Element-wise functions for MLX's CPU backend, made of multiplications and additions.

On x86 the backend's own ``exp`` is scalar, about 16 ns an element, while plain arithmetic is
vectorised and costs about 0.2 ns an element and operation. ``mx.compile`` fuses the operations where
the machine has a C++ compiler, and leaves them as they are where it has none. Metal and CUDA never
use this module.
"""

from __future__ import annotations

from functools import partial

import mlx.core as mx

# 2**f on [-0.5, 0.5], highest power first: least maximum relative error, 7.5e-8 before rounding.
_EXP2_SERIES = (
    1.327647129073739e-3,
    9.675540961325169e-3,
    5.550713092088699e-2,
    2.4022120237350464e-1,
    6.931469440460205e-1,
    1.0000001192092896,
)
_LOG2_E = 1.4426950408889634
_MAX_EXPONENT = 126.0  # beyond this, up or down, a float32 is no longer normal
# Adding it to a small float32 leaves the nearest integer in the lowest bits of the sum.
_ROUNDER = 1.5 * 2.0**23
_ONE_BITS = 127 << 23  # 1.0 as float32

# (exp(y) - 1) / y on [-87/64, 0], likewise; the 64th power is six squarings.
_EXPM1_SERIES = (
    1.0994710464729e-04,
    1.2378394603729e-03,
    8.1975217908621e-03,
    4.1602130979300e-02,
    1.6665177047253e-01,
    4.9999868869781e-01,
    1.0,
)
_NUM_SQUARINGS = 6
_NUM_SQUARINGS_LESS_ONE = 3
_LOWEST = -87.0  # exp of less is no longer normal in float32

# Below this many elements the number of operations counts, not their arithmetic: there ``exp`` wins.
_SMALL_SIZE = 4096


def exp_nonpositive(x: mx.array) -> mx.array:
    """``exp(x)`` for float32 ``x <= 0`` (softmax after subtracting the maximum).

    Relative error under 7e-7 from -1 to 0 and under ``1.1e-6 exp(-x / 8)`` below: small weights may be
    less exact, as they count less. -inf and all under -87 give at most about 2e-38.
    """
    return mx.exp(x) if x.size < _SMALL_SIZE else _exp_by_squaring(x)


def swiglu(gate: mx.array, x: mx.array) -> mx.array:
    """``silu(gate) * x``, as ``mlx_lm.models.activations.swiglu``; relative error under 2e-6."""
    if gate.size < _SMALL_SIZE or gate.dtype != mx.float32 or x.dtype != mx.float32:
        return gate * mx.sigmoid(gate) * x
    return _swiglu(gate, x)


@partial(mx.compile, shapeless=True)
def _exp_by_squaring(x: mx.array) -> mx.array:
    """Compiled once for all shapes: those of attention's scores change from step to step.

    The first squarings are of ``exp - 1``, as ``(1 + u)**2 - 1 = u (u + 2)``, which is exact near 0.
    """
    y = mx.maximum(x, _LOWEST) * 2.0**-_NUM_SQUARINGS
    less_one = _horner(_EXPM1_SERIES, y) * y
    for _ in range(_NUM_SQUARINGS_LESS_ONE):
        less_one = less_one * (less_one + 2.0)
    power = less_one + 1.0
    for _ in range(_NUM_SQUARINGS - _NUM_SQUARINGS_LESS_ONE):
        power = power * power
    return power


@mx.compile
def _swiglu(gate: mx.array, x: mx.array) -> mx.array:
    """Compiled for each number of rows: MLX cannot do so for all shapes where bits are reinterpreted.

    ``2**t`` for ``t = -gate log2(e)``: an integer, which becomes the exponent bits, and a fraction.
    """
    exponent = mx.clip(gate * -_LOG2_E, -_MAX_EXPONENT, _MAX_EXPONENT)
    shifted = exponent + _ROUNDER
    power = ((shifted.view(mx.int32) << 23) + _ONE_BITS).view(mx.float32)
    series = _horner(_EXP2_SERIES, exponent - (shifted - _ROUNDER))
    return gate * x / (series * power + 1.0)


def _horner(coefficients: tuple[float, ...], x: mx.array) -> mx.array:
    total = x * coefficients[0] + coefficients[1]
    for coefficient in coefficients[2:]:
        total = total * x + coefficient
    return total
