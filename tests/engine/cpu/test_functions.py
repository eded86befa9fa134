from __future__ import annotations

import mlx.core as mx
import numpy as np
import pytest

from api.engine.cpu import functions as cpu_functions
from tests.engine.denormals import num_denormals

POINTS = np.concatenate(
    [np.linspace(-100, 100, 40001), np.geomspace(1e-7, 100, 1000), -np.geomspace(1e-7, 100, 1000)]
)

REPEATS = 4096  # small arrays get MLX's own functions


def relative_error(got: mx.array, wanted: np.ndarray) -> float:
    return float(np.max(np.abs(np.array(got, dtype=np.float64) - wanted) / np.abs(wanted)))


def test_exp_is_as_exact_as_it_says() -> None:
    x = POINTS[(POINTS <= 0) & (POINTS > -66.5)].astype(np.float32)
    wanted = np.exp(x.astype(np.float64))
    got = np.array(cpu_functions.exp_nonpositive(mx.array(x)), dtype=np.float64)
    assert np.max(np.abs(got - wanted) / wanted / np.exp(-x / 8)) < 1.1e-6


def test_exp_near_zero_is_exact_to_a_few_steps_and_one_at_zero() -> None:
    x = np.linspace(-1, 0, 10001).astype(np.float32)
    got = cpu_functions.exp_nonpositive(mx.array(x))
    assert relative_error(got, np.exp(x.astype(np.float64))) < 7e-7
    assert got[-1].item() == 1.0  # the best token's weight, which min_p = 1 compares with


@pytest.mark.parametrize("repeats", [1, REPEATS])
def test_exp_of_minus_infinity_is_as_good_as_nothing(repeats: int) -> None:
    got = np.array(cpu_functions.exp_nonpositive(mx.array([-np.inf, -1e30, -100.0] * repeats)))
    assert got == pytest.approx(cpu_functions.LEAST_WEIGHT)
    assert np.all(np.float32(1) + 100_000 * got == 1)


@pytest.mark.parametrize(
    "shape", [(2, 3, 4, 20), (1, 1, 1, 1), (2, 3, 4, 1), (5, 7), (3, 4, 500), (1, 3, 4, 7), (2, 3, 4, 20)]
)
def test_exp_below_is_exp_of_the_difference_in_any_shape(shape: tuple[int, ...]) -> None:
    """The function for few numbers is compiled once for all shapes."""
    mx.random.seed(1)
    x = mx.random.normal(shape) * 30
    peak = mx.max(x, axis=-1, keepdims=True)
    for below in (peak, peak + mx.ones((*shape[:-1], 1))):
        got = cpu_functions.exp_below(x, below)
        assert got.shape == shape
        assert mx.allclose(got, cpu_functions.exp_nonpositive(x - below), rtol=1e-6, atol=0)


SLOPE = np.linspace(-1000, 0, 20_001).astype(np.float32)  # through all places where exp runs out of digits


@pytest.mark.parametrize("size", [500, len(SLOPE)])
def test_weights_and_their_products_are_no_denormals(size: int) -> None:
    weights = cpu_functions.exp_nonpositive(mx.array(SLOPE[:: len(SLOPE) // size]))
    assert num_denormals(weights) == 0
    assert num_denormals(weights * 1e-8) == 0


@pytest.mark.parametrize("size", [500, len(SLOPE)])
def test_closed_gates_and_their_products_are_no_denormals(size: int) -> None:
    gate = mx.array(SLOPE[:: len(SLOPE) // size])
    for x in (1e-3, 1.0, 1e3):
        out = cpu_functions.swiglu(gate, mx.full(gate.shape, x))
        assert num_denormals(out) == 0
        assert num_denormals(out * 1e-4) == 0


def test_swiglu_is_silu_times_x() -> None:
    gate = POINTS[np.abs(POINTS) < 66].astype(np.float32)
    x = np.linspace(-3, 3, len(gate)).astype(np.float32)
    wide = gate.astype(np.float64)
    wanted = wide / (1 + np.exp(-wide)) * x
    got = np.array(cpu_functions.swiglu(mx.array(gate), mx.array(x)), dtype=np.float64)
    assert np.max(np.abs(got - wanted) / (np.abs(wanted) + 1e-30)) < 5e-6


def test_swiglu_far_out_is_zero_or_the_gate() -> None:
    got = np.array(cpu_functions.swiglu(mx.array([-1e4, 1e4] * REPEATS), mx.ones(2 * REPEATS)))
    assert np.max(np.abs(got[::2])) < 1e-24 and got[1::2] == pytest.approx(1e4)


@pytest.mark.parametrize("size", [1, 100])
def test_small_arrays_give_the_same(size: int) -> None:
    x = np.linspace(-8, 0, REPEATS).astype(np.float32)
    few, many = x[:size], x
    for function in (cpu_functions.exp_nonpositive, lambda a: cpu_functions.swiglu(a, a)):
        got, wanted = function(mx.array(few)), function(mx.array(many))[:size]
        assert mx.allclose(got, wanted, rtol=5e-6, atol=0)


@pytest.mark.parametrize("dtype", [mx.float16, mx.bfloat16])
def test_swiglu_keeps_half_precision(dtype: mx.Dtype) -> None:
    gate, x = mx.array([0.5, -2.0, 3.0], dtype=dtype), mx.array([1.0, 2.0, -1.0], dtype=dtype)
    got = cpu_functions.swiglu(gate, x)
    assert got.dtype == dtype
    assert mx.allclose(got.astype(mx.float32), (gate * mx.sigmoid(gate) * x).astype(mx.float32))
