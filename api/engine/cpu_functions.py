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

# exp(y) on [-87/64, 0], likewise; the 64th power is six squarings.
_EXP_SERIES = (
    9.846617467701435e-05,
    1.183813437819481e-03,
    8.097894489765167e-03,
    4.151136055588722e-02,
    1.6660954058170319e-01,
    4.9998942017555237e-01,
    9.999992251396179e-01,
    1.0,
)
_NUM_SQUARINGS = 6
_LOWEST = -87.0  # exp of less is no longer normal in float32

# Below this many elements the number of operations counts, not their arithmetic: there ``exp`` wins.
_SMALL_SIZE = 4096


def exp_nonpositive(x: mx.array) -> mx.array:
    """``exp(x)`` for float32 ``x <= 0`` (softmax after subtracting the maximum).

    Relative error 4e-7 near 0 and 8e-6 at -40; -inf and all under -87 give at most about 1e-38.
    """
    return mx.exp(x) if x.size < _SMALL_SIZE else _exp_by_squaring(x)


def swiglu(gate: mx.array, x: mx.array) -> mx.array:
    """``silu(gate) * x``, as ``mlx_lm.models.activations.swiglu``; relative error under 2e-6."""
    if gate.size < _SMALL_SIZE or gate.dtype != mx.float32 or x.dtype != mx.float32:
        return gate * mx.sigmoid(gate) * x
    return _swiglu(gate, x)


@partial(mx.compile, shapeless=True)
def _exp_by_squaring(x: mx.array) -> mx.array:
    """Compiled once for all shapes: those of attention's scores change from step to step."""
    power = _horner(_EXP_SERIES, mx.maximum(x, _LOWEST) * 2.0**-_NUM_SQUARINGS)
    for _ in range(_NUM_SQUARINGS):
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
