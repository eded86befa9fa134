"""``python -I -S probe.py LIBRARY THREADS SECONDS``: times an OpenBLAS and checks its products.

A process of its own, as the kernels may need instructions that the processor lacks. It imports nothing
but little of the standard library, so that it starts at once. OPENBLAS_CORETYPE says which kernels; the
answer is a line of words: their name, whether the products are right, and GFLOP/s for each number of rows.
"""

from __future__ import annotations

import ctypes
import resource
import sys
import time
from array import array
from collections.abc import Iterator

# Decode steps of one, some and many chats, and a prompt's chunk.
NUM_ROWS = (1, 8, 32, 256)
# Outputs and inputs of a small model's layers.
_SHAPES = ((1536, 576), (576, 1536))
_ROW_MAJOR, _NO_TRANS, _TRANS = 101, 111, 112

# The matrices repeat these, so each sum is known. It is exact in float32 whatever the order of additions, as
# it is an integer below 2**24; kernels that drop bits of their factors are found out.
_LEFT = (4093, -2731, 1366, -3003, 2049, -4001, 1717)
_RIGHT = (1, -1, 1, 1, -1)


class Product:
    """``left [rows, inputs] @ right [outputs, inputs].T``, as a linear layer's."""

    def __init__(self, library: ctypes.CDLL, num_rows: int, num_outputs: int, num_inputs: int) -> None:
        self._library = library
        self._sizes = (num_rows, num_outputs, num_inputs)
        self._left = _repeated(_LEFT, num_rows * num_inputs)
        self._right = _repeated(_RIGHT, num_outputs * num_inputs)
        self._out = _repeated((float("nan"),), num_rows * num_outputs)

    def multiply(self) -> None:
        num_rows, num_outputs, num_inputs = self._sizes
        self._library.cblas_sgemm(
            *(_ROW_MAJOR, _NO_TRANS, _TRANS, num_rows, num_outputs, num_inputs),
            *(ctypes.c_float(1), _address(self._left), num_inputs, _address(self._right), num_inputs),
            *(ctypes.c_float(0), _address(self._out), num_outputs),
        )

    def is_right(self) -> bool:
        num_rows, num_outputs, num_inputs = self._sizes
        for row in range(num_rows):
            first = row * num_inputs % len(_LEFT)
            sums = [_sum(first, column * num_inputs, num_inputs) for column in range(len(_RIGHT))]
            if self._out[row * num_outputs : (row + 1) * num_outputs] != _repeated(sums, num_outputs):
                return False
        return True

    def best_seconds(self, limit_seconds: float) -> float:
        """Of as many tries as fit, at least one."""
        best, end_seconds = float("inf"), time.perf_counter() + limit_seconds
        while True:
            started_seconds = time.perf_counter()
            self.multiply()
            now_seconds = time.perf_counter()
            best = min(best, now_seconds - started_seconds)
            if now_seconds > end_seconds:
                return best

    @property
    def num_operations(self) -> int:
        num_rows, num_outputs, num_inputs = self._sizes
        return 2 * num_rows * num_outputs * num_inputs


def _repeated(values: tuple[float, ...] | list[float], size: int) -> array[float]:
    return (array("f", values) * (size // len(values) + 1))[:size]


def _address(values: array[float]) -> ctypes.c_void_p:
    return ctypes.c_void_p(values.buffer_info()[0])


def _sum(left: int, right: int, num_inputs: int) -> float:
    """Of ``num_inputs`` products; both factors repeat, so their product does too."""
    period = len(_LEFT) * len(_RIGHT)
    products = [_LEFT[(left + k) % len(_LEFT)] * _RIGHT[(right + k) % len(_RIGHT)] for k in range(period)]
    times, rest = divmod(num_inputs, period)
    return float(times * sum(products) + sum(products[:rest]))


def measure(library: ctypes.CDLL, limit_seconds: float) -> Iterator[tuple[int, float] | None]:
    """A number of rows and billions of operations a second for each shape; None for a wrong product."""
    share_seconds = limit_seconds / len(NUM_ROWS) / len(_SHAPES)
    for num_rows in NUM_ROWS:
        for num_outputs, num_inputs in _SHAPES:
            product = Product(library, num_rows, num_outputs, num_inputs)
            product.multiply()
            if not product.is_right():
                yield None
                return
            yield num_rows, product.num_operations / product.best_seconds(share_seconds) / 1e9


def main(path: str, num_threads: int, limit_seconds: float) -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # ending by a signal is expected of some
    library = ctypes.CDLL(path)
    library.openblas_get_corename.restype = ctypes.c_char_p
    if num_threads:
        library.openblas_set_num_threads(num_threads)
    is_right = True
    rates: dict[int, list[float]] = {}
    for measured in measure(library, limit_seconds):
        if measured is None:
            is_right = False
        else:
            rates.setdefault(measured[0], []).append(measured[1])
    figures = [f"{sum(each) / len(each):.3f}" for each in rates.values()]
    print(library.openblas_get_corename().decode(), "right" if is_right else "wrong", *figures, flush=True)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]))
