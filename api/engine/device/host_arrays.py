"""Arrays in plain memory: what other threads and files can have of the device's."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

_KIND_BYTES = {"F32": 4, "F16": 2, "BF16": 2, "U32": 4, "U8": 1, "I32": 4, "I64": 8}


@dataclass(frozen=True, slots=True)
class ArrayForm:
    """An array's type, by safetensors' name, and its shape."""

    kind: str
    shape: tuple[int, ...]

    @property
    def num_bytes(self) -> int:
        return _KIND_BYTES[self.kind] * math.prod(self.shape)


Layout = tuple[ArrayForm, ...]


@dataclass(frozen=True, slots=True)
class HostArray:
    """An array's bytes in row-major order, in memory that belongs to no device."""

    form: ArrayForm
    data: memoryview


def layout_of(arrays: Iterable[HostArray]) -> Layout:
    return tuple(array.form for array in arrays)


def data_bytes(layout: Layout) -> int:
    return sum(form.num_bytes for form in layout)
