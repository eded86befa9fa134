"""The KV of all sequences, in slots and in kept blocks, and what a plan does to it before its rows run."""

from __future__ import annotations

from collections.abc import Iterable

import mlx.core as mx

from api.engine.forward.block_store import BlockStore
from api.engine.forward.layer_kv import LayerKV
from api.engine.forward.slot_array import KVFormat, Parts
from api.types import BlockLoad, SlotMove, StepPlan


class KVStore:
    """All layers' KV and the number of slots that each class has."""

    def __init__(self, longest_rings: Iterable[int | None]) -> None:
        self.layers = [LayerKV(longest_ring) for longest_ring in longest_rings]
        self.num_slots: dict[int, int] = {}
        self.blocks = BlockStore(self.layers)

    def use(self, kv_format: KVFormat) -> None:
        """Stores keys and values in this form from now on; call while nothing is stored."""
        for layer in self.layers:
            layer.use(kv_format)
        self.blocks.forget_form()

    def apply(self, plan: StepPlan) -> None:
        """Drops and saves blocks, brings the classes to their sizes, copies sequences and blocks into slots.

        Classes shrink last: a move may read from a slot that is given up in the same step.
        """
        self.blocks.drop(plan.dropped_blocks)
        self.blocks.save(plan.saves)
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
        self.blocks.settle()

    @property
    def block_bytes(self) -> int:
        """Bytes of all kept blocks."""
        return self.blocks.nbytes

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
                    layer.write_stored(move.target, 0, self.num_slots[move.target.capacity], *pair)

    def _load(self, loads: Iterable[BlockLoad]) -> None:
        """The step under way, which reads the slots, has ended before they are written."""
        self.settle()
        mx.eval(self.arrays())
        mx.synchronize()
        self.blocks.load(loads, self.num_slots)

    def _resize(self, capacity: int, num_slots: int) -> None:
        if self.num_slots.get(capacity, 0) == num_slots:
            return
        self.num_slots[capacity] = num_slots
        for layer in self.layers:
            layer.resize(capacity, num_slots)

    def arrays(self) -> list[mx.array]:
        return [array for layer in self.layers for array in layer.arrays()]

    def clear(self) -> None:
        self.num_slots.clear()
        for layer in self.layers:
            layer.keys.clear()
            layer.values.clear()
        self.blocks.clear()


def _first_tokens(layer: LayerKV, move: SlotMove) -> tuple[Parts, Parts] | None:
    """Copies of a slot's tokens as they lie, a ring's worth at most."""
    num_tokens = min(move.num_tokens, layer.ring(move.source.capacity))
    pair = layer.read_stored(move.source, 0, num_tokens)
    if pair is None:
        return None
    keys, values = (tuple(mx.contiguous(part) for part in parts) for parts in pair)
    return keys, values
