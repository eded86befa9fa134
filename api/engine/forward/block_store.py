"""The arrays of kept blocks: the keys and values of some tokens in all layers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import mlx.core as mx

from api.engine.forward.layer_kv import LayerKV
from api.types import BlockLoad, BlockSave, Slot

# Blocks are put together in pieces of so many: what a load takes beside blocks and slot stays small.
_PIECE_BLOCKS = 16


class BlockStore:
    """Copies blocks out of the layers' slots and into them.

    A layer's keys are part ``2 * layer``, its values the part behind. A block has one array for all parts
    of one shape, ``[parts, kv_heads, tokens, head_dim]``: mostly a single one.
    """

    def __init__(self, layers: list[LayerKV]) -> None:
        self._layers = layers
        self._groups: list[list[int]] = []  # the parts in each of a block's arrays
        self._blocks: dict[int, list[mx.array]] = {}
        self._unsettled: list[mx.array] = []  # saved, not computed yet

    @property
    def nbytes(self) -> int:
        return sum(array.nbytes for arrays in self._blocks.values() for array in arrays)

    def drop(self, block_ids: Iterable[int]) -> None:
        for block_id in block_ids:
            self._blocks.pop(block_id, None)

    def save(self, saves: Iterable[BlockSave]) -> None:
        """Lazily: ``settle`` computes the copies, before the slots they come from are written again."""
        for save in saves:
            parts = self._read(save)
            self._groups = self._groups or _alike(parts)
            arrays = [mx.stack([parts[i] for i in group]) for group in self._groups]
            self._blocks[save.block_id] = arrays
            self._unsettled += arrays

    def settle(self) -> None:
        if self._unsettled:
            mx.eval(self._unsettled)
            self._unsettled.clear()

    def load(self, loads: Iterable[BlockLoad], num_slots: Mapping[int, int]) -> None:
        """Copies to the front of slots, and computes it. Sequences with the same beginning share the work.

        Nothing that reads the layers' arrays may be pending: the writes would copy them.
        """
        slots: dict[tuple[int, ...], list[Slot]] = {}
        for load in loads:
            slots.setdefault(load.block_ids, []).append(load.slot)
        for block_ids, targets in slots.items():
            for first in range(0, len(block_ids), _PIECE_BLOCKS):
                start = self._num_tokens(block_ids[:1]) * first
                self._load(block_ids[first : first + _PIECE_BLOCKS], start, targets, num_slots)

    def clear(self) -> None:
        self._blocks.clear()
        self._unsettled.clear()

    def _read(self, save: BlockSave) -> dict[int, mx.array]:
        parts = {}
        for index, layer in enumerate(self._layers):
            pair = layer.read(save.slot, save.start, save.num_tokens)
            if pair is not None:
                parts[2 * index], parts[2 * index + 1] = pair[0][0], pair[1][0]
        return parts

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

    def _write(self, slot: Slot, start: int, parts: Mapping[int, mx.array], num_slots: int) -> list[mx.array]:
        """Returns the arrays that were written to."""
        written = []
        for index, layer in enumerate(self._layers):
            if 2 * index in parts:
                keys, values = parts[2 * index], parts[2 * index + 1]
                layer.ensure(slot.capacity, num_slots, keys, values)
                layer.write_chunk(slot, start, keys, values)
                written += [layer.keys[slot.capacity], layer.values[slot.capacity]]
        return written

    def _num_tokens(self, block_ids: tuple[int, ...]) -> int:
        return next((array.shape[2] for i in block_ids for array in self._blocks[i]), 0)


def _alike(parts: Mapping[int, mx.array]) -> list[list[int]]:
    """Parts of the same shape and type, together."""
    groups: dict[tuple[tuple[int, ...], mx.Dtype], list[int]] = {}
    for part, array in parts.items():
        groups.setdefault((array.shape, array.dtype), []).append(part)
    return list(groups.values())
