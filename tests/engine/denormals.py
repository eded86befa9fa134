"""Counts denormal numbers."""

from __future__ import annotations

import mlx.core as mx
import numpy as np
from numpy.typing import NDArray

_SMALLEST_NORMAL = float(np.finfo(np.float32).tiny)


def num_denormals(array: mx.array | NDArray[np.float32]) -> int:
    sizes = np.abs(np.array(array, dtype=np.float64))  # where a denormal float32 is a normal number
    return int(np.count_nonzero((sizes > 0) & (sizes < _SMALLEST_NORMAL)))
