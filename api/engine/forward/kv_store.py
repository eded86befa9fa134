"""The KV of all sequences: for each layer and length class one array of keys and one of values."""

from __future__ import annotations

from collections.abc import Iterable

import mlx.core as mx

from api.types import Slot, SlotMove, StepPlan


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
        """Writes ``[1, kv_heads, n, head_dim]`` to positions ``start .. start + n - 1`` of a slot."""
        ring = self.ring(slot.capacity)
        row, first, num_tokens = slice(slot.index, slot.index + 1), start % ring, keys.shape[2]
        fitting = min(num_tokens, ring - first)
        for arrays, new in ((self.keys, keys), (self.values, values)):
            arrays[slot.capacity][row, :, first : first + fitting] = new[:, :, :fitting]
            if fitting < num_tokens:
                arrays[slot.capacity][row, :, : num_tokens - fitting] = new[:, :, fitting:]

    def read(self, slot: Slot, num_tokens: int) -> tuple[mx.array, mx.array] | None:
        """The first tokens of a slot as they lie, ``[1, kv_heads, n, head_dim]``; None if unwritten."""
        if slot.capacity not in self.keys:
            return None
        row, end = slice(slot.index, slot.index + 1), min(num_tokens, self.ring(slot.capacity))
        keys, values = self.keys[slot.capacity], self.values[slot.capacity]
        return mx.contiguous(keys[row, :, :end]), mx.contiguous(values[row, :, :end])


class KVStore:
    """All layers' KV and the number of slots that each class has."""

    def __init__(self, longest_rings: Iterable[int | None]) -> None:
        self.layers = [LayerKV(longest_ring) for longest_ring in longest_rings]
        self.num_slots: dict[int, int] = {}

    def settle(self) -> None:
        """Computes what the last plan saved."""

    def apply(self, plan: StepPlan) -> None:
        """Brings the classes to their sizes and copies the sequences that move.

        Classes shrink last: a move may read from a slot that is given up in the same step.
        """
        wanted = dict(plan.num_slots)
        for capacity, count in wanted.items():
            self._resize(capacity, max(count, self.num_slots.get(capacity, 0)))
        self._move(plan.moves)
        for capacity, count in wanted.items():
            self._resize(capacity, count)

    def _move(self, moves: Iterable[SlotMove]) -> None:
        """Copies sequences. A ring that wraps is as long in both classes.

        All is read and computed before the first write: a read that is pending forbids that the write
        is done in place, and would copy the whole class.
        """
        moves = list(moves)
        read = {
            (move.source, move.num_tokens, index): layer.read(move.source, move.num_tokens)
            for move in moves
            for index, layer in enumerate(self.layers)
        }
        mx.eval([pair for pair in read.values() if pair is not None])
        for move in moves:
            for index, layer in enumerate(self.layers):
                pair = read[move.source, move.num_tokens, index]
                if pair is not None:
                    layer.ensure(move.target.capacity, self.num_slots[move.target.capacity], *pair)
                    layer.write_chunk(move.target, 0, *pair)

    def _resize(self, capacity: int, num_slots: int) -> None:
        if self.num_slots.get(capacity, 0) == num_slots:
            return
        self.num_slots[capacity] = num_slots
        for layer in self.layers:
            layer.resize(capacity, num_slots)

    def arrays(self) -> list[mx.array]:
        return [
            array
            for layer in self.layers
            for arrays in (layer.keys, layer.values)
            for array in arrays.values()
        ]

    def clear(self) -> None:
        self.num_slots.clear()
        for layer in self.layers:
            layer.keys.clear()
            layer.values.clear()


def _with_slots(array: mx.array, num_slots: int) -> mx.array:
    missing = num_slots - array.shape[0]
    if missing <= 0:
        return mx.contiguous(array[:num_slots])
    return mx.concatenate([array, mx.zeros((missing, *array.shape[1:]), dtype=array.dtype)])
