"""Element-wise functions for MLX's CPU backend, made of multiplications and additions.

On x86 the backend's own ``exp`` is scalar, about 16 ns an element, while plain arithmetic is
vectorised and costs about 0.2 ns an element and operation. Metal and CUDA never use this module.
"""

from __future__ import annotations

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
# Below this many elements the number of operations counts, not their arithmetic: there ``exp`` wins.
_SMALL_SIZE = 4096


def exp_nonpositive(x: mx.array) -> mx.array:
    """``exp(x)`` for float32 ``x <= 0`` (softmax after subtracting the maximum).

    Relative error 3e-7 near 0 and 2e-6 at -40; -inf and all under -87 give at most about 1e-38.
    """
    if x.size < _SMALL_SIZE:
        return mx.exp(x)
    return _exp2(mx.maximum(x * _LOG2_E, -_MAX_EXPONENT))


def swiglu(gate: mx.array, x: mx.array) -> mx.array:
    """``silu(gate) * x``, as ``mlx_lm.models.activations.swiglu``; relative error under 2e-6."""
    if gate.size < _SMALL_SIZE or gate.dtype != mx.float32 or x.dtype != mx.float32:
        return gate * mx.sigmoid(gate) * x
    exponent = mx.clip(gate * -_LOG2_E, -_MAX_EXPONENT, _MAX_EXPONENT)
    return gate * x / (_exp2(exponent) + 1.0)


def _exp2(x: mx.array) -> mx.array:
    """``2**x`` for float32 ``|x| <= 126``: an integer, which becomes the exponent bits, and a fraction."""
    shifted = x + _ROUNDER
    fraction = x - (shifted - _ROUNDER)
    power = ((shifted.view(mx.int32) << 23) + _ONE_BITS).view(mx.float32)
    total = fraction * _EXP2_SERIES[0] + _EXP2_SERIES[1]
    for coefficient in _EXP2_SERIES[2:]:
        total = total * fraction + coefficient
    return total * power
