"""Copies of the device's arrays in plain memory, and back."""

from __future__ import annotations

import math

import mlx.core as mx
import numpy as np

from api.engine.device.host_arrays import ArrayForm, HostArray

_KINDS = {
    mx.float32: "F32",
    mx.float16: "F16",
    mx.bfloat16: "BF16",
    mx.uint32: "U32",
    mx.uint8: "U8",
    mx.int32: "I32",
    mx.int64: "I64",
}
_TYPES = {kind: dtype for dtype, kind in _KINDS.items()}


def to_host(array: mx.array) -> HostArray:
    """``array`` has a dimension at least. Raises KeyError for a type that no state is made of."""
    form = ArrayForm(_KINDS[array.dtype], array.shape)
    data: np.ndarray = np.array(mx.contiguous(array).view(mx.uint8))
    return HostArray(form, data.data.cast("B") if data.size else memoryview(b""))


def to_device(array: HostArray) -> mx.array:
    *outer, last = array.form.shape
    itemsize = array.form.num_bytes // max(1, math.prod(array.form.shape))
    data = np.frombuffer(array.data, dtype=np.uint8).reshape(*outer, last * itemsize)
    return mx.array(data).view(_TYPES[array.form.kind])
