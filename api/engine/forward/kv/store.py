"""The KV of all sequences, in slots and in cached blocks, and what a plan does to it before its rows run."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import mlx.core as mx

from api.engine.forward.kv.block_store import BlockStore
from api.engine.forward.kv.layer import LayerKV
from api.engine.forward.kv.slot_array import KVFormat, Parts, SlotArray
from api.step_plan import BlockLoad, SlotMove, StepPlan

_ANY_LONG_CAPACITY = 1 << 32  # beyond every window


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
        """Drops and saves blocks, closes holes, brings the classes to their sizes, fills slots.

        What is given up goes before anything grows, so the arrays never take more than before or after the
        plan, but for a copy of one layer's. A slot that a move reads from stays until it has been read.
        """
        self.blocks.drop(plan.evicted_blocks)
        self.blocks.save(plan.saves)
        if plan.compactions:
            self._move(plan.compactions)
        wanted, last_read = dict(plan.num_slots), _last_read(plan.moves)
        for capacity, count in wanted.items():
            if count < self.num_slots.get(capacity, 0):
                self._resize(capacity, max(count, last_read.get(capacity, 0)))
        for capacity, count in wanted.items():
            self._resize(capacity, max(count, last_read.get(capacity, 0)))
        if plan.loads:
            self._load(plan.loads)
        if plan.moves:
            self._move(plan.moves)
        for capacity, count in wanted.items():
            self._resize(capacity, count)

    def compute_saves(self) -> None:
        """Computes what the last plan saved."""
        self.blocks.compute_saves()

    @property
    def block_bytes(self) -> int:
        """Bytes of all cached blocks."""
        return self.blocks.nbytes

    def largest_share(self) -> float:
        """Of one layer in the bytes of a slot, whatever its class; call while every layer is written."""

        def share(capacity: int) -> float:
            sizes = [layer.ring(capacity) * layer.bytes_per_token() for layer in self.layers]
            return max(sizes) / sum(sizes) if sum(sizes) else 0.0

        return max(share(1), share(_ANY_LONG_CAPACITY))

    def array_bytes(self) -> Callable[[int], int]:
        """``capacity -> bytes`` of one slot in the largest array; call while every layer has been written."""
        rates = [(layer.ring, layer.largest_part_bytes()) for layer in self.layers]
        return lambda capacity: max((ring(capacity) * rate for ring, rate in rates), default=0)

    def _move(self, moves: Sequence[SlotMove]) -> None:
        """Copies sequences, one layer after another: so the copies take little beside the slots.

        A ring that wraps is as long in both classes.
        """
        self.compute_saves()
        for layer in self.layers:
            _move_within(layer, moves, self.num_slots)

    def _load(self, loads: Iterable[BlockLoad]) -> None:
        """The step under way, which reads the slots, has ended before they are written."""
        self.compute_saves()
        mx.eval(self.arrays())
        mx.synchronize()
        self.blocks.load(loads, self.num_slots)

    def _resize(self, capacity: int, num_slots: int) -> None:
        if self.num_slots.get(capacity, 0) == num_slots:
            return
        self.num_slots[capacity] = num_slots
        self.compute_saves()  # a save that still reads an array would keep it beside its successor
        for layer in self.layers:
            layer.resize(capacity, num_slots)

    def arrays(self) -> list[mx.array]:
        return [array for layer in self.layers for array in layer.arrays()]

    def has_arrays(self, capacities: Iterable[int]) -> bool:
        """Whether each layer has arrays for these classes: they come with the first write."""
        return all(capacity in layer.keys for capacity in capacities for layer in self.layers)

    def parts(self, capacities: Iterable[int]) -> list[mx.array]:
        """The arrays of these classes in all layers."""
        return [part for each in self._slot_arrays(capacities) for part in each.parts]

    def replace_parts(self, capacities: Iterable[int], parts: Iterable[mx.array]) -> None:
        """Takes arrays in the place of those that ``parts`` gave, in the same order."""
        new = iter(parts)
        for each in self._slot_arrays(capacities):
            each.parts = tuple(next(new) for _ in each.parts)

    def _slot_arrays(self, capacities: Iterable[int]) -> Iterator[SlotArray]:
        for capacity in capacities:
            for layer in self.layers:
                yield layer.keys[capacity]
                yield layer.values[capacity]

    def clear(self) -> None:
        self.num_slots.clear()
        for layer in self.layers:
            layer.keys.clear()
            layer.values.clear()
        self.blocks.clear()


def _last_read(moves: Iterable[SlotMove]) -> dict[int, int]:
    """Slots that each class must have for these to read from."""
    counts: dict[int, int] = {}
    for move in moves:
        counts[move.source.capacity] = max(counts.get(move.source.capacity, 0), move.source.index + 1)
    return counts


def _move_within(layer: LayerKV, moves: Iterable[SlotMove], num_slots: Mapping[int, int]) -> None:
    """All is read and computed before the first write: a read that is pending forbids that the write is
    done in place, and would copy the whole class.
    """
    read = {(move.source, move.num_tokens): _first_tokens(layer, move) for move in moves}
    mx.eval([pair for pair in read.values() if pair is not None])
    for move in moves:
        pair = read[move.source, move.num_tokens]
        if pair is not None:
            layer.write_stored(move.target, 0, num_slots[move.target.capacity], *pair)
    mx.eval(layer.arrays())


def _first_tokens(layer: LayerKV, move: SlotMove) -> tuple[Parts, Parts] | None:
    """Copies of a slot's tokens as they lie, a ring's worth at most."""
    num_tokens = min(move.num_tokens, layer.ring(move.source.capacity))
    pair = layer.read_stored(move.source, 0, num_tokens)
    if pair is None:
        return None
    keys, values = (tuple(mx.contiguous(part) for part in parts) for parts in pair)
    return keys, values
