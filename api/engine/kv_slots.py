"""Who has which KV slot, and the bytes they take: the plain-Python accounting of ``forward/kv_store.py``."""

from __future__ import annotations

import bisect
import heapq
from collections.abc import Callable
from dataclasses import dataclass, field

from api.engine.kv_memory import KVMemory
from api.types import Slot

_SMALLEST_CAPACITY = 256
_MAX_GROWTH_BYTES = 256 * 1024**2  # a class doubles its slots, but takes no more than this ahead of need


def length_classes(max_tokens: int) -> tuple[int, ...]:
    """Capacities 256, 384, 512, 768, 1 k, ... and ``max_tokens`` itself as the last.

    Two for each doubling: a slot is at most a third empty once its sequence has outgrown the class below,
    and the rows of a class, which attend over the longest of them, are of similar length.
    """
    capacities = []
    capacity = _SMALLEST_CAPACITY
    while capacity < max_tokens:
        capacities += [capacity, capacity * 3 // 2]
        capacity *= 2
    return (*(c for c in capacities if c < max_tokens), max_tokens)


@dataclass(slots=True)
class _SlotClass:
    capacity: int
    num_slots: int = 0  # what the arrays have
    used: set[int] = field(default_factory=set)
    free: list[int] = field(default_factory=list)  # a heap: the lowest index goes first, so rows stay dense

    def take(self) -> int:
        index = heapq.heappop(self.free)
        self.used.add(index)
        return index

    def grow(self, count: int) -> None:
        for index in range(self.num_slots, self.num_slots + count):
            heapq.heappush(self.free, index)
        self.num_slots += count

    def cut(self) -> int:
        """Gives up the free slots behind the last used one; returns how many."""
        keep = max(self.used, default=-1) + 1
        count = self.num_slots - keep
        self.num_slots = keep
        self.free = [index for index in self.free if index < keep]
        heapq.heapify(self.free)
        return count


class SlotPool:
    """Slots of all length classes, out of one account of bytes.

    Classes grow by whole slots on demand (doubling where that is cheap) and give up free slots
    when another class needs the bytes or when ``shrink`` is called.
    """

    def __init__(self, memory: KVMemory, *, context_length: int, slot_bytes: Callable[[int], int]) -> None:
        """``slot_bytes``: capacity in tokens -> bytes of a slot. Raises ValueError if not one token fits."""
        self._memory = memory
        self._slot_bytes_of = slot_bytes
        self.max_sequence_tokens = bisect.bisect_right(
            range(1, context_length + 1), memory.budget_bytes, key=slot_bytes
        )
        if self.max_sequence_tokens < 1:
            raise ValueError(f"{memory.budget_bytes} bytes hold no token of {slot_bytes(1)} bytes")
        self._classes = [_SlotClass(capacity) for capacity in length_classes(self.max_sequence_tokens)]
        self._capacities = [c.capacity for c in self._classes]

    @property
    def budget_bytes(self) -> int:
        return self._memory.budget_bytes

    @property
    def reserved_bytes(self) -> int:
        """Bytes of all slots, used or free: what the arrays take."""
        return sum(c.num_slots * self._slot_bytes(c) for c in self._classes)

    @property
    def used_bytes(self) -> int:
        """Bytes of the slots in some sequence's hands."""
        return sum(len(c.used) * self._slot_bytes(c) for c in self._classes)

    @property
    def num_slots(self) -> tuple[tuple[int, int], ...]:
        """``(capacity, slots)`` of each class, as the plan carries it."""
        return tuple((c.capacity, c.num_slots) for c in self._classes)

    def capacity_for(self, num_tokens: int) -> int:
        """The smallest class for that many tokens. Raises ValueError where none is large enough."""
        if num_tokens > self.max_sequence_tokens:
            raise ValueError(f"no class holds {num_tokens} tokens")
        return self._capacities[bisect.bisect_left(self._capacities, num_tokens)]

    def allocate(self, num_tokens: int) -> Slot | None:
        """A slot for that many tokens, or None when the budget is short. Raises ValueError if too long."""
        slot_class = self._class(self.capacity_for(num_tokens))
        if not slot_class.free and not self._grow(slot_class):
            return None
        return Slot(slot_class.capacity, slot_class.take())

    def release(self, slot: Slot) -> None:
        """Raises KeyError when nobody has that slot."""
        slot_class = self._class(slot.capacity)
        slot_class.used.remove(slot.index)
        heapq.heappush(slot_class.free, slot.index)

    def shrink(self) -> None:
        """Gives up the free slots behind the used ones of every class."""
        for slot_class in self._classes:
            self._memory.slot_bytes -= slot_class.cut() * self._slot_bytes(slot_class)

    def check(self) -> None:
        """Raises AssertionError where a slot is in two hands or in none, or the budget is exceeded."""
        for c in self._classes:
            assert sorted([*c.used, *c.free]) == list(range(c.num_slots)), c
        assert self.reserved_bytes == self._memory.slot_bytes
        self._memory.check()

    def _class(self, capacity: int) -> _SlotClass:
        return self._classes[bisect.bisect_left(self._capacities, capacity)]

    def _slot_bytes(self, slot_class: _SlotClass) -> int:
        return self._slot_bytes_of(slot_class.capacity)

    def _grow(self, slot_class: _SlotClass) -> bool:
        slot_bytes = self._slot_bytes(slot_class)
        if self._memory.free_bytes < slot_bytes:
            self.shrink()
        if not self._memory.make_room(slot_bytes):
            return False
        affordable = self._memory.free_bytes // slot_bytes
        doubled = min(slot_class.num_slots, _MAX_GROWTH_BYTES // slot_bytes)
        count = min(max(doubled, 1), affordable)
        slot_class.grow(count)
        self._memory.slot_bytes += count * slot_bytes
        return True
