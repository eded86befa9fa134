"""Element-wise functions for MLX's CPU backend, made of multiplications and additions.

On x86 the backend's own ``exp`` is scalar, about 16 ns an element, while plain arithmetic is
vectorised and costs about 0.2 ns an element and operation. Metal and CUDA never use this module.
"""

from __future__ import annotations

import mlx.core as mx

# tanh as a ratio of polynomials, odd over even, on [-7.9, 7.9]; coefficients as published in Eigen's
# generic fast tanh and in XLA. Highest power first.
_TANH_LIMIT = 7.90531110763549805
_TANH_ODD = (
    -2.76076847742355e-16,
    2.00018790482477e-13,
    -8.60467152213735e-11,
    5.12229709037114e-08,
    1.48572235717979e-05,
    6.37261928875436e-04,
    4.89352455891786e-03,
)
_TANH_EVEN = (1.19825839466702e-06, 1.18534705686654e-04, 2.26843463243900e-03, 4.89352518554385e-03)

# 2**f on [-0.5, 0.5]: the Taylor series of exp(f ln 2), whose remainder is under 2e-7 at degree 6.
_EXP2_SERIES = (
    1.5403530393381608e-4,
    1.3333558146428443e-3,
    9.618129107628477e-3,
    5.5504108664821576e-2,
    2.402265069591007e-1,
    6.931471805599453e-1,
    1.0,
)
_LOG2_E = 1.4426950408889634
_MIN_EXPONENT = -126.0  # below this a float32 is no longer normal


def _horner(coefficients: tuple[float, ...], x: mx.array) -> mx.array:
    total = x * coefficients[0] + coefficients[1]
    for coefficient in coefficients[2:]:
        total = total * x + coefficient
    return total


def tanh(x: mx.array) -> mx.array:
    """Hyperbolic tangent of a float32 array; absolute error about 1e-7."""
    x = mx.clip(x, -_TANH_LIMIT, _TANH_LIMIT)
    square = x * x
    return x * _horner(_TANH_ODD, square) / _horner(_TANH_EVEN, square)


def swiglu(gate: mx.array, x: mx.array) -> mx.array:
    """``silu(gate) * x``, as ``mlx_lm.models.activations.swiglu``; sigmoid(g) = (1 + tanh(g/2)) / 2."""
    if gate.dtype != mx.float32:
        return gate * mx.sigmoid(gate) * x
    half = gate * 0.5
    return (half + half * tanh(half)) * x


def exp_nonpositive(x: mx.array) -> mx.array:
    """``exp(x)`` for float32 ``x <= 0`` (softmax after subtracting the maximum).

    Splits ``x log2(e)`` into an integer, which becomes the float's exponent bits, and a fraction in
    [-0.5, 0.5]. Relative error 1e-7 near 0 and 2e-6 at -40; -inf and all under -87 give about 1e-38.
    """
    scaled = mx.maximum(x * _LOG2_E, _MIN_EXPONENT)
    whole = mx.round(scaled)
    power = ((whole.astype(mx.int32) + 127) << 23).view(mx.float32)
    return _horner(_EXP2_SERIES, scaled - whole) * power
