"""The probe's own check of products, with libraries that are not what they seem."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from api.engine.cpu.blas import probe
from api.engine.cpu.blas.probe import Product

Floats = NDArray[np.float32]


def matrix(address: ctypes.c_void_p, *shape: int) -> Floats:
    assert address.value is not None
    numbers = (ctypes.c_float * int(np.prod(shape))).from_address(address.value)
    return np.frombuffer(numbers, dtype=np.float32).reshape(shape)


class FakeLibrary:
    """Multiplies by numpy, then lets ``spoil`` change the product."""

    def __init__(self, spoil: Callable[[Floats, Floats, Floats], Floats]) -> None:
        self._spoil = spoil

    def cblas_sgemm(self, *args: Any) -> None:
        order, left_form, right_form, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc = args
        assert (order, left_form, right_form, alpha.value, beta.value) == (101, 111, 112, 1, 0)
        assert (lda, ldb, ldc) == (k, k, n)
        matrix(c, m, n)[:] = self._spoil(matrix(a, m, k), matrix(b, n, k), matrix(c, m, n))


def right(left: Floats, other: Floats, out: Floats) -> Floats:
    return (left.astype(np.float64) @ other.astype(np.float64).T).astype(np.float32)


def last_is_off(left: Floats, other: Floats, out: Floats) -> Floats:
    product = right(left, other, out)
    product[-1, -1] += 1
    return product


def in_bfloat16(left: Floats, other: Floats, out: Floats) -> Floats:
    cut = (left.view(np.uint32) & 0xFFFF0000).view(np.float32)
    return right(cut, other, out)


def is_right(
    spoil: Callable[[Floats, Floats, Floats], Floats], num_rows: int, sizes: tuple[int, int]
) -> bool:
    product = Product(FakeLibrary(spoil), num_rows, *sizes)  # type: ignore[arg-type]
    product.multiply()
    return product.is_right()


@pytest.mark.parametrize("sizes", [*probe._SHAPES, (11, 37), (3, 36)])
@pytest.mark.parametrize("num_rows", [1, 8, 33])
def test_a_right_product_is_told_from_wrong_ones(num_rows: int, sizes: tuple[int, int]) -> None:
    assert is_right(right, num_rows, sizes)
    assert not is_right(last_is_off, num_rows, sizes)
    assert not is_right(in_bfloat16, num_rows, sizes)
    assert not is_right(lambda left, other, out: out, num_rows, sizes)  # nothing is written
    assert not is_right(lambda left, other, out: right(left, other, out)[::-1, ::-1], num_rows + 1, sizes)


def test_the_sums_are_exact_in_any_order() -> None:
    largest = max(map(abs, probe._LEFT)) * max(map(abs, probe._RIGHT))
    assert largest * max(max(shape) for shape in probe._SHAPES) < 2**24


def test_measuring_ends_at_a_wrong_product() -> None:
    library: Any = FakeLibrary(last_is_off)
    assert list(probe.measure(library, 0.0)) == [None]


def test_every_number_of_rows_is_timed() -> None:
    library: Any = FakeLibrary(right)
    rates = [each for each in probe.measure(library, 0.0) if each is not None]
    assert [rows for rows, _ in rates] == [rows for rows in probe.NUM_ROWS for _ in probe._SHAPES]
    assert all(rate > 0 for _, rate in rates)
