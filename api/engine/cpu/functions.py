"""Element-wise functions for MLX's CPU backend, made of multiplications and additions.

On x86 the backend's own ``exp`` is scalar, about 8 to 16 ns an element, while plain arithmetic is
vectorised and costs about 0.1 to 0.2 ns an element and operation. ``mx.compile`` fuses the operations
where the machine has a C++ compiler, and leaves them as they are where it has none. Metal and CUDA never
use this module.

MLX fuses an expression only down to some depth; what lies below makes its loop one that no compiler
vectorises, at twice the time. Hence Estrin's scheme for the polynomial, and several small functions.

Nothing here returns a denormal number for ordinary arguments, nor one whose product with an ordinary number
is: Intel's processors take a hundred times as long over those.
"""

from __future__ import annotations

from functools import partial

import mlx.core as mx

# 2**f on [-0.5, 0.5], highest power first: least maximum relative error with 1 at 0, 9.2e-8 before rounding.
_EXP2_SERIES = (
    1.3264727197223117e-3,
    9.671512639646343e-3,
    5.550733743251804e-2,
    2.402224208537517e-1,
    6.931469775991639e-1,
    1.0,
)
_LOG2_E = 1.4426950408889634
# 2**-96, 1.3e-29, is lost in any sum with a 1, and even its product with 1e-8 is still a normal float32.
_MAX_EXPONENT = 96.0
_LEAST_ARGUMENT = -_MAX_EXPONENT / _LOG2_E
LEAST_WEIGHT = 2.0**-_MAX_EXPONENT  # what ``exp_nonpositive`` gives for what weighs nothing
# Adding it to a small float32 leaves the nearest integer and the exponent's bias in the lowest bits.
_ROUNDER = 1.5 * 2.0**23 + 127

# Below this many elements the number of operations counts, not their arithmetic: there ``exp`` wins.
_SMALL_SIZE = 4096


def exp_nonpositive(x: mx.array) -> mx.array:
    """``exp(x)`` for float32 ``x <= 0`` (softmax after subtracting the maximum); 1 at 0.

    Relative error under 7e-7 from -1 to 0 and under ``1.1e-6 exp(-x / 8)`` below: small weights may be
    less exact, as they count less. -inf and all under -66.5 give ``LEAST_WEIGHT``.
    """
    if x.size < _SMALL_SIZE:
        return _few_exp(x)
    return _many_exp(x)


def exp_below(x: mx.array, peak: mx.array) -> mx.array:
    """``exp_nonpositive(x - peak)``; for few numbers that is a single operation."""
    if x.size < _SMALL_SIZE:
        return _few_exp_below(x, peak)
    return _many_exp(x - peak)


def _many_exp(x: mx.array) -> mx.array:
    exponent = _exponent(x)
    shifted = exponent + _ROUNDER
    return _exp2_of_fraction(_fraction(exponent, shifted)) * _exp2_of_integer(shifted)


def swiglu(gate: mx.array, x: mx.array) -> mx.array:
    """``silu(gate) * x``, as ``mlx_lm.models.activations.swiglu``; relative error under 2e-6 for gates over
    -66; below, both are as good as nothing."""
    if gate.dtype != mx.float32 or x.dtype != mx.float32:
        return gate * mx.sigmoid(gate) * x
    return _few_swiglu(gate, x) if gate.size < _SMALL_SIZE else _swiglu(gate, x)


# Compiled once for all shapes: those of attention's scores change from step to step.
_compiled = partial(mx.compile, shapeless=True)


@_compiled
def _few_exp(x: mx.array) -> mx.array:
    return mx.exp(mx.maximum(x, _LEAST_ARGUMENT))


@_compiled
def _few_exp_below(x: mx.array, peak: mx.array) -> mx.array:
    return mx.exp(mx.maximum(x - peak, _LEAST_ARGUMENT))


@_compiled
def _few_swiglu(gate: mx.array, x: mx.array) -> mx.array:
    return gate * mx.sigmoid(mx.maximum(gate, _LEAST_ARGUMENT)) * x


@_compiled
def _exponent(x: mx.array) -> mx.array:
    return mx.maximum(x * _LOG2_E, -_MAX_EXPONENT)


@_compiled
def _fraction(exponent: mx.array, shifted: mx.array) -> mx.array:
    return exponent - (shifted - _ROUNDER)


@_compiled
def _exp2_of_fraction(x: mx.array) -> mx.array:
    return _exp2_series(x)


def _exp2_of_integer(shifted: mx.array) -> mx.array:
    """The integer becomes the exponent bits; what is above it is shifted out.

    Not compiled: MLX cannot do so for all shapes where bits are reinterpreted.
    """
    return (shifted.view(mx.int32) << 23).view(mx.float32)


@mx.compile
def _swiglu(gate: mx.array, x: mx.array) -> mx.array:
    """``x gate / (1 + 2**t)`` for ``t = -gate log2(e)``. Compiled for each number of rows."""
    exponent = mx.clip(gate * -_LOG2_E, -_MAX_EXPONENT, _MAX_EXPONENT)
    shifted = exponent + _ROUNDER
    series = _exp2_series(exponent - (shifted - _ROUNDER))
    return gate * x / (series * _exp2_of_integer(shifted) + 1.0)


def _exp2_series(x: mx.array) -> mx.array:
    """``2**x`` on [-0.5, 0.5], by Estrin's scheme."""
    c5, c4, c3, c2, c1, c0 = _EXP2_SERIES
    square = x * x
    return ((x * c1 + c0) + square * (x * c3 + c2)) + (square * square) * (x * c5 + c4)
