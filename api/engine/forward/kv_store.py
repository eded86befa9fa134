"""The KV of all sequences, in slots and in kept blocks, and what a plan does to it before its rows run."""

from __future__ import annotations

from collections.abc import Iterable

import mlx.core as mx

from api.engine.forward.block_store import BlockStore
from api.engine.forward.layer_kv import LayerKV
from api.types import BlockLoad, SlotMove, StepPlan


class KVStore:
    """All layers' KV and the number of slots that each class has."""

    def __init__(self, longest_rings: Iterable[int | None]) -> None:
        self.layers = [LayerKV(longest_ring) for longest_ring in longest_rings]
        self.num_slots: dict[int, int] = {}
        self._blocks = BlockStore(self.layers)

    def apply(self, plan: StepPlan) -> None:
        """Drops and saves blocks, brings the classes to their sizes, copies sequences and blocks into slots.

        Classes shrink last: a move may read from a slot that is given up in the same step.
        """
        self._blocks.drop(plan.dropped_blocks)
        self._blocks.save(plan.saves)
        wanted = dict(plan.num_slots)
        for capacity, count in wanted.items():
            self._resize(capacity, max(count, self.num_slots.get(capacity, 0)))
        if plan.loads:
            self._load(plan.loads)
        if plan.moves:
            self._move(plan.moves)
        for capacity, count in wanted.items():
            self._resize(capacity, count)

    def settle(self) -> None:
        """Computes what the last plan saved."""
        self._blocks.settle()

    @property
    def block_bytes(self) -> int:
        """Bytes of all kept blocks."""
        return self._blocks.nbytes

    def _move(self, moves: Iterable[SlotMove]) -> None:
        """Copies sequences. A ring that wraps is as long in both classes.

        All is read and computed before the first write: a read that is pending forbids that the write
        is done in place, and would copy the whole class.
        """
        read = {
            (move.source, move.num_tokens, index): _first_tokens(layer, move)
            for move in moves
            for index, layer in enumerate(self.layers)
        }
        self.settle()
        mx.eval([pair for pair in read.values() if pair is not None])
        for move in moves:
            for index, layer in enumerate(self.layers):
                pair = read[move.source, move.num_tokens, index]
                if pair is not None:
                    layer.ensure(move.target.capacity, self.num_slots[move.target.capacity], *pair)
                    layer.write_chunk(move.target, 0, *pair)

    def _load(self, loads: Iterable[BlockLoad]) -> None:
        """The step under way, which reads the slots, has ended before they are written."""
        self.settle()
        mx.eval(self.arrays())
        mx.synchronize()
        self._blocks.load(loads, self.num_slots)

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
        self._blocks.clear()


def _first_tokens(layer: LayerKV, move: SlotMove) -> tuple[mx.array, mx.array] | None:
    """Copies of a slot's tokens as they lie, a ring's worth at most."""
    pair = layer.read(move.source, 0, min(move.num_tokens, layer.ring(move.source.capacity)))
    return None if pair is None else (mx.contiguous(pair[0]), mx.contiguous(pair[1]))
