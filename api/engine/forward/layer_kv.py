"""One layer's KV: for each length class one array of keys and one of values."""

from __future__ import annotations

import mlx.core as mx

from api.types import Slot


class LayerKV:
    """One layer's slots: ``capacity -> [slots, kv_heads, ring, head_dim]``.

    Position ``p`` lies at ``p % ring``. The ring is as long as the class's capacity, so that nothing
    ever wraps, unless the layer sees only a window: then it need not be longer than ``longest_ring``.

    The arrays appear with the first write, which tells heads, dimensions and type. A write replaces
    the held array by a new one that MLX makes in place, provided that nothing else still reads the old
    one: so all writes of a layer in a step come before its first read.
    """

    def __init__(self, longest_ring: int | None) -> None:
        self.longest_ring = longest_ring
        self.keys: dict[int, mx.array] = {}
        self.values: dict[int, mx.array] = {}

    def ring(self, capacity: int) -> int:
        """Tokens that a slot of the class holds in this layer."""
        return capacity if self.longest_ring is None else min(capacity, self.longest_ring)

    def bytes_per_token(self) -> int:
        """Bytes of one position of one slot; 0 before the first write."""
        samples = [next(iter(arrays.values())) for arrays in (self.keys, self.values) if arrays]
        return sum(array.nbytes // (array.shape[0] * array.shape[2]) for array in samples)

    def resize(self, capacity: int, num_slots: int) -> None:
        """Makes the class hold ``num_slots``; the slots that stay keep their contents."""
        for arrays in (self.keys, self.values):
            if capacity in arrays:
                arrays[capacity] = _with_slots(arrays[capacity], num_slots)
            if num_slots == 0:
                arrays.pop(capacity, None)

    def ensure(self, capacity: int, num_slots: int, keys: mx.array, values: mx.array) -> None:
        """Creates the class's arrays in the shape and type of rows ``[rows, kv_heads, n, head_dim]``."""
        if capacity in self.keys:
            return
        for arrays, rows in ((self.keys, keys), (self.values, values)):
            shape = (num_slots, rows.shape[1], self.ring(capacity), rows.shape[3])
            arrays[capacity] = mx.zeros(shape, dtype=rows.dtype)

    def write_rows(
        self, capacity: int, slots: mx.array, positions: mx.array, keys: mx.array, values: mx.array
    ) -> None:
        """Writes rows ``[rows, kv_heads, 1, head_dim]`` to one position of one slot each."""
        if self.ring(capacity) < capacity:
            positions = positions % self.ring(capacity)
        self.keys[capacity][slots, :, positions] = keys.squeeze(2)
        self.values[capacity][slots, :, positions] = values.squeeze(2)

    def write_chunk(self, slot: Slot, start: int, keys: mx.array, values: mx.array) -> None:
        """Writes ``[1, kv_heads, n, head_dim]`` to positions ``start .. start + n - 1`` of a slot.

        Of more than a ring the last are written: they would overwrite the others.
        """
        ring, num_tokens = self.ring(slot.capacity), keys.shape[2]
        row, written = slice(slot.index, slot.index + 1), max(0, num_tokens - ring)
        for part in _ring_parts(start + written, num_tokens - written, ring):
            end = written + part.stop - part.start
            self.keys[slot.capacity][row, :, part] = keys[:, :, written:end]
            self.values[slot.capacity][row, :, part] = values[:, :, written:end]
            written = end

    def read(self, slot: Slot, start: int, num_tokens: int) -> tuple[mx.array, mx.array] | None:
        """Positions ``start .. start + num_tokens - 1`` of a slot, ``[1, kv_heads, num_tokens, head_dim]``.

        At most a ring of them, and none that was overwritten since. None where nothing was ever written.
        """
        if slot.capacity not in self.keys:
            return None
        parts = _ring_parts(start, num_tokens, self.ring(slot.capacity))
        row = slice(slot.index, slot.index + 1)
        keys, values = (
            _joined([arrays[slot.capacity][row, :, part] for part in parts])
            for arrays in (self.keys, self.values)
        )
        return keys, values


def _ring_parts(start: int, num_tokens: int, ring: int) -> list[slice]:
    """Where positions lie, in their order: behind one another, or around the ring's end."""
    first = start % ring
    fitting = min(num_tokens, ring - first)
    parts = [slice(first, first + fitting)]
    return parts if fitting == num_tokens else [*parts, slice(0, num_tokens - fitting)]


def _joined(arrays: list[mx.array]) -> mx.array:
    return arrays[0] if len(arrays) == 1 else mx.concatenate(arrays, axis=2)


def _with_slots(array: mx.array, num_slots: int) -> mx.array:
    missing = num_slots - array.shape[0]
    if missing <= 0:
        return mx.contiguous(array[:num_slots])
    return mx.concatenate([array, mx.zeros((missing, *array.shape[1:]), dtype=array.dtype)])
