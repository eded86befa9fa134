"""The arrays of cached blocks: the keys and values of some tokens in all layers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import mlx.core as mx

from api.engine.device.host_arrays import HostArray
from api.engine.forward.kv.host_copy import to_device, to_host
from api.engine.forward.kv.layer import LayerKV
from api.step_plan import BlockLoad, BlockSave, Slot

# Blocks are put together in pieces of so many: what a load takes beside blocks and slot stays small.
PIECE_BLOCKS = 16


# A layer's index, whether it is of its values, and its place among their parts.
_Part = tuple[int, int, int]


class BlockStore:
    """Copies blocks out of the layers' slots and into them.

    A block has one array for all parts of one shape, whichever layer's keys or values they are:
    ``[parts, kv_heads, tokens, head_dim]``. Mostly that is a single one.
    """

    def __init__(self, layers: list[LayerKV]) -> None:
        self._layers = layers
        self._groups: list[list[_Part]] = []  # the parts in each of a block's arrays
        self._blocks: dict[int, list[mx.array]] = {}
        self._pending_saves: list[mx.array] = []  # saved, not computed yet

    @property
    def nbytes(self) -> int:
        return sum(array.nbytes for arrays in self._blocks.values() for array in arrays)

    def drop(self, block_ids: Iterable[int]) -> None:
        for block_id in block_ids:
            self._blocks.pop(block_id, None)

    def save(self, saves: Iterable[BlockSave]) -> None:
        """Lazily: ``compute_saves`` makes the copies, before the slots they come from are written again."""
        for save in saves:
            parts = self._read(save)
            self._groups = self._groups or _alike(parts)
            arrays = [mx.stack([parts[i] for i in group]) for group in self._groups]
            self._blocks[save.block_id] = arrays
            self._pending_saves += arrays

    def compute_saves(self) -> None:
        if self._pending_saves:
            mx.eval(self._pending_saves)
            self._pending_saves.clear()

    def load(self, loads: Iterable[BlockLoad], num_slots: Mapping[int, int]) -> None:
        """Copies to the front of slots, and computes it. Sequences with the same beginning share the work.

        Nothing that reads the layers' arrays may be pending: the writes would copy them.
        """
        slots: dict[tuple[int, ...], list[Slot]] = {}
        for load in loads:
            slots.setdefault(load.block_ids, []).append(load.slot)
        for block_ids, targets in slots.items():
            for first in range(0, len(block_ids), PIECE_BLOCKS):
                start = self._num_tokens(block_ids[:1]) * first
                self._load(block_ids[first : first + PIECE_BLOCKS], start, targets, num_slots)

    def export(self, block_id: int) -> list[HostArray]:
        """A copy of a block whose save is computed."""
        return [to_host(array) for array in self._blocks[block_id]]

    def insert(self, block_id: int, arrays: Iterable[HostArray]) -> None:
        """A block that this store, or that of another process with the same model, has exported.

        Some block was saved here before, which told how blocks are made up.
        """
        self._blocks[block_id] = [to_device(array) for array in arrays]
        mx.eval(self._blocks[block_id])

    def forget_form(self) -> None:
        """The next block that is saved may be made up otherwise. What it is outlives ``clear``."""
        assert not self._blocks, "blocks in another format"
        self._groups = []

    def clear(self) -> None:
        self._blocks.clear()
        self._pending_saves.clear()

    def _read(self, save: BlockSave) -> dict[_Part, mx.array]:
        stored = [layer.read_stored(save.slot, save.start, save.num_tokens) for layer in self._layers]
        return {
            (index, kind, place): part[0]
            for index, pair in enumerate(stored)
            for kind, parts in enumerate(pair or ())
            for place, part in enumerate(parts)
        }

    def _load(
        self, block_ids: tuple[int, ...], start: int, targets: list[Slot], num_slots: Mapping[int, int]
    ) -> None:
        blocks = [self._blocks[block_id] for block_id in block_ids]
        pieces = [mx.concatenate(list(arrays), axis=2) for arrays in zip(*blocks, strict=True)]
        mx.eval(pieces)
        parts = {
            part: piece[place][None]
            for group, piece in zip(self._groups, pieces, strict=True)
            for place, part in enumerate(group)
        }
        written = [self._write(slot, start, parts, num_slots[slot.capacity]) for slot in targets]
        mx.eval(written)

    def _write(
        self, slot: Slot, start: int, parts: Mapping[_Part, mx.array], num_slots: int
    ) -> list[mx.array]:
        """Returns the arrays of the layers that were written to."""
        pairs: dict[int, tuple[list[mx.array], list[mx.array]]] = {}
        for (index, kind, _), array in sorted(parts.items(), key=lambda item: item[0]):
            pairs.setdefault(index, ([], []))[kind].append(array)
        for index, (keys, values) in pairs.items():
            self._layers[index].write_stored(slot, start, num_slots, tuple(keys), tuple(values))
        return [array for index in pairs for array in self._layers[index].arrays()]

    def _num_tokens(self, block_ids: tuple[int, ...]) -> int:
        return next((array.shape[2] for i in block_ids for array in self._blocks[i]), 0)


def _alike(parts: Mapping[_Part, mx.array]) -> list[list[_Part]]:
    """Parts of the same shape and type, together."""
    groups: dict[tuple[tuple[int, ...], mx.Dtype], list[_Part]] = {}
    for part, array in parts.items():
        groups.setdefault((array.shape, array.dtype), []).append(part)
    return list(groups.values())
