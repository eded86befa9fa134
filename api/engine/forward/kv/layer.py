"""One layer's KV: for each length class the keys and the values of its slots."""

from __future__ import annotations

import mlx.core as mx

from api.engine.forward.kv.ring_places import RowPlaces, ring_parts
from api.engine.forward.kv.slot_array import KVFormat, Parts, PlainFormat, SlotArray
from api.step_plan import Slot


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
        self._format: KVFormat = PlainFormat()
        self.keys: dict[int, SlotArray] = {}
        self.values: dict[int, SlotArray] = {}

    def use(self, kv_format: KVFormat) -> None:
        """For all that is written from now on; call while nothing is."""
        assert not self.keys, "arrays in another format"
        self._format = kv_format

    def ring(self, capacity: int) -> int:
        """Tokens that a slot of the class holds in this layer."""
        return capacity if self.longest_ring is None else min(capacity, self.longest_ring)

    def bytes_per_token(self) -> int:
        """Bytes of one position of one slot; 0 before the first write."""
        samples = [next(iter(arrays.values())) for arrays in (self.keys, self.values) if arrays]
        return sum(array.nbytes // (array.num_slots * array.ring) for array in samples)

    def largest_part_bytes(self) -> int:
        """Bytes of one position of one slot in the largest of the arrays; 0 before the first write."""
        arrays = [array for held in (self.keys, self.values) for array in held.values()]
        return max((p.nbytes // (a.num_slots * a.ring) for a in arrays for p in a.parts), default=0)

    def arrays(self) -> list[mx.array]:
        """All that must be evaluated with a step."""
        both = [*self.keys.values(), *self.values.values()]
        return [part for array in both for part in array.parts]

    def resize(self, capacity: int, num_slots: int) -> None:
        """Makes the class hold ``num_slots``; the slots that stay keep their contents.

        Computed at once, the keys before the values: an array and its successor exist together only here.
        """
        for arrays in (self.keys, self.values):
            if num_slots == 0:
                arrays.pop(capacity, None)
            elif capacity in arrays:
                arrays[capacity] = arrays[capacity].with_slots(num_slots)
                mx.eval(arrays[capacity].parts)

    def ensure(self, capacity: int, num_slots: int, keys: mx.array, values: mx.array) -> None:
        """Creates the class's arrays in the shape and type of rows ``[rows, kv_heads, n, head_dim]``."""
        if capacity not in self.keys:
            self._create(capacity, num_slots, self._format.encode(keys), self._format.encode(values))

    def write_rows(self, capacity: int, places: RowPlaces, keys: mx.array, values: mx.array) -> None:
        """Writes rows ``[rows, kv_heads, 1, head_dim]`` to one position of one slot each."""
        ring = self.ring(capacity)
        self.keys[capacity][places.of(keys.shape[1], ring)] = keys.squeeze(2)
        self.values[capacity][places.of(values.shape[1], ring)] = values.squeeze(2)

    def write_chunk(self, slot: Slot, start: int, keys: mx.array, values: mx.array) -> None:
        """Writes ``[1, kv_heads, n, head_dim]`` to positions ``start .. start + n - 1`` of a slot.

        Of more than a ring the last are written: they would overwrite the others.
        """
        self._store(slot, start, self._format.encode(keys), self._format.encode(values))

    def read(self, slot: Slot, start: int, num_tokens: int) -> tuple[mx.array, mx.array] | None:
        """Positions ``start .. start + num_tokens - 1`` of a slot, ``[1, kv_heads, num_tokens, head_dim]``.

        At most a ring of them, and none that was overwritten since. None where nothing was ever written.
        """
        stored = self.read_stored(slot, start, num_tokens)
        return None if stored is None else (self._format.decode(stored[0]), self._format.decode(stored[1]))

    def read_stored(self, slot: Slot, start: int, num_tokens: int) -> tuple[Parts, Parts] | None:
        """The same as it is stored: the parts of the keys, and those of the values."""
        if slot.capacity not in self.keys:
            return None
        row = slice(slot.index, slot.index + 1)
        places = [(row, slice(None), p) for p in ring_parts(start, num_tokens, self.ring(slot.capacity))]
        keys, values = (
            _joined([arrays[slot.capacity].stored(place) for place in places])
            for arrays in (self.keys, self.values)
        )
        return keys, values

    def write_stored(self, slot: Slot, start: int, num_slots: int, keys: Parts, values: Parts) -> None:
        """Writes what ``read_stored`` of any slot of this layer gave; its class has ``num_slots``."""
        if slot.capacity not in self.keys:
            self._create(slot.capacity, num_slots, keys, values)
        self._store(slot, start, keys, values)

    def _create(self, capacity: int, num_slots: int, keys: Parts, values: Parts) -> None:
        for arrays, parts in ((self.keys, keys), (self.values, values)):
            arrays[capacity] = SlotArray.like(self._format, parts, num_slots, self.ring(capacity))

    def _store(self, slot: Slot, start: int, keys: Parts, values: Parts) -> None:
        ring, num_tokens = self.ring(slot.capacity), keys[0].shape[2]
        row, written = slice(slot.index, slot.index + 1), max(0, num_tokens - ring)
        for place in ring_parts(start + written, num_tokens - written, ring):
            new = slice(written, written + place.stop - place.start)
            for arrays, parts in ((self.keys, keys), (self.values, values)):
                arrays[slot.capacity].store((row, slice(None), place), tuple(p[:, :, new] for p in parts))
            written = new.stop


def _joined(pieces: list[Parts]) -> Parts:
    if len(pieces) == 1:
        return pieces[0]
    return tuple(mx.concatenate(list(parts), axis=2) for parts in zip(*pieces, strict=True))
