"""The keys or the values of one layer and length class, as they are or quantised."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import mlx.core as mx

Parts = tuple[mx.array, ...]
_GROUP_SIZES = (64, 32)  # numbers that share a scale, the larger where it fits
_PACKED_BITS = 32  # of each element of the packed array


class KVFormat(Protocol):
    """How ``[..., head_dim]`` is stored: as parts that agree with it in all axes but the last."""

    def encode(self, array: mx.array) -> Parts: ...

    def decode(self, parts: Parts) -> mx.array: ...


class PlainFormat:
    """As it is."""

    def encode(self, array: mx.array) -> Parts:
        return (array,)

    def decode(self, parts: Parts) -> mx.array:
        return parts[0]


@dataclass(frozen=True, slots=True)
class QuantizedFormat:
    """MLX's affine quantisation along ``head_dim``: packed numbers, scales and biases of each group.

    Raises ValueError for a ``head_dim`` that is no multiple of the smaller group.
    """

    bits: int

    def encode(self, array: mx.array) -> Parts:
        head_dim = array.shape[-1]
        group_size = next((size for size in _GROUP_SIZES if head_dim and head_dim % size == 0), None)
        if group_size is None:
            raise ValueError(f"{head_dim} numbers a head are no multiple of {_GROUP_SIZES[-1]}")
        return tuple(mx.quantize(array, group_size=group_size, bits=self.bits))

    def decode(self, parts: Parts) -> mx.array:
        packed, scales, biases = parts
        group_size = packed.shape[-1] * _PACKED_BITS // self.bits // scales.shape[-1]
        return mx.dequantize(packed, scales, biases, group_size=group_size, bits=self.bits)


class SlotArray:
    """``[slots, kv_heads, ring, head_dim]``. Indices are of the first three axes.

    A write replaces the held parts by new ones that MLX makes in place, see ``LayerKV``.
    """

    def __init__(self, kv_format: KVFormat, parts: Parts) -> None:
        self._format = kv_format
        self.parts = parts

    @classmethod
    def like(cls, kv_format: KVFormat, parts: Sequence[mx.array], num_slots: int, ring: int) -> SlotArray:
        """Zeros for slots of ``ring`` tokens that are as these, ``[rows, kv_heads, tokens, ...]``."""
        shapes = [(num_slots, part.shape[1], ring, part.shape[3]) for part in parts]
        return cls(
            kv_format,
            tuple(mx.zeros(shape, dtype=part.dtype) for shape, part in zip(shapes, parts, strict=True)),
        )

    @property
    def nbytes(self) -> int:
        return sum(part.nbytes for part in self.parts)

    @property
    def num_slots(self) -> int:
        return self.parts[0].shape[0]

    @property
    def ring(self) -> int:
        return self.parts[0].shape[2]

    def __getitem__(self, index: Any) -> mx.array:
        """What was written, as exactly as the format allows."""
        return self._format.decode(self.stored(index))

    def __setitem__(self, index: Any, array: mx.array) -> None:
        self.store(index, self._format.encode(array))

    def stored(self, index: Any) -> Parts:
        return tuple(part[index] for part in self.parts)

    def store(self, index: Any, parts: Parts) -> None:
        for held, new in zip(self.parts, parts, strict=True):
            held[index] = new

    def with_slots(self, num_slots: int) -> SlotArray:
        """The same with more slots or fewer; those that stay keep their contents."""
        return SlotArray(self._format, tuple(_with_slots(part, num_slots) for part in self.parts))


def _with_slots(array: mx.array, num_slots: int) -> mx.array:
    missing = num_slots - array.shape[0]
    if missing <= 0:
        return mx.contiguous(array[:num_slots])
    zeros = mx.broadcast_to(mx.array(0, dtype=array.dtype), (missing, *array.shape[1:]))  # takes no memory
    return mx.concatenate([array, zeros])
