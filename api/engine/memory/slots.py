"""Who has which KV slot, and the bytes they take: the plain-Python accounting of ``forward/kv/store.py``."""

from __future__ import annotations

import bisect
import heapq
from collections.abc import Callable
from dataclasses import dataclass, field

from api.engine.memory.account import KVMemory
from api.step_plan import Slot

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
    most_slots: int | None = None  # that one array may have; None: any number
    num_slots: int = 0  # what the arrays have
    used: set[int] = field(default_factory=set)
    leaving: set[int] = field(default_factory=set)  # nobody's, but read by the plan under way
    free: list[int] = field(default_factory=list)  # a heap: the lowest index goes first, so rows stay dense

    @property
    def num_needed(self) -> int:
        """Slots that the arrays need: up to the last one that is not free."""
        return max((*self.used, *self.leaving), default=-1) + 1

    @property
    def is_full(self) -> bool:
        """Whether its arrays are as large as they may be and all in use."""
        return not self.free and self.num_slots == self.most_slots

    def take(self) -> int:
        index = heapq.heappop(self.free)
        self.used.add(index)
        return index

    def give_back(self, index: int) -> None:
        self.used.remove(index)
        heapq.heappush(self.free, index)

    def grow(self, count: int) -> None:
        for index in range(self.num_slots, self.num_slots + count):
            heapq.heappush(self.free, index)
        self.num_slots += count

    def cut(self) -> int:
        """Gives up the free slots behind the last one that is not; returns how many."""
        num_left = self.num_needed
        count = self.num_slots - num_left
        self.num_slots = num_left
        self.free = [index for index in self.free if index < num_left]
        heapq.heapify(self.free)
        return count

    @property
    def has_hole(self) -> bool:
        """Whether a used slot could lie further to the front, with none behind it."""
        last = self.num_needed - 1
        return last in self.used and bool(self.free) and self.free[0] < last

    def num_freed(self) -> int:
        """Slots behind the last one that could be given up once it lay in the first hole."""
        last = self.num_needed - 1
        before = max((*(self.used - {last}), *self.leaving, self.free[0]), default=-1)
        return last - before


class SlotPool:
    """Slots of all length classes, out of one account of bytes.

    Classes grow by whole slots on demand (doubling where that is cheap) and give up free slots
    when another class needs the bytes or when ``shrink`` is called.
    """

    def __init__(
        self,
        memory: KVMemory,
        *,
        context_length: int,
        slot_bytes: Callable[[int], int],
        most_slots: Callable[[int], int | None] = lambda capacity: None,
    ) -> None:
        """``slot_bytes``: capacity in tokens -> bytes of a slot; ``most_slots``: -> slots in one array, where
        the device sets a limit. Raises ValueError if not one token fits.
        """
        self._memory = memory
        self._slot_bytes_of = slot_bytes
        self.max_sequence_tokens = _longest(context_length, memory.budget_bytes, slot_bytes, most_slots)
        if self.max_sequence_tokens < 1:
            raise ValueError(f"{memory.budget_bytes} bytes hold no token of {slot_bytes(1)} bytes")
        capacities = length_classes(self.max_sequence_tokens)
        self._classes = [_SlotClass(capacity, most_slots(capacity)) for capacity in capacities]
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
        """Bytes of the slots that sequences have."""
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

    def num_fitting(self, num_tokens: int) -> int:
        """How many sequences of so many tokens there is room for, with nothing else in memory.

        Raises ValueError where they are too long.
        """
        free_bytes, count = self.budget_bytes, 0
        for slot_class in self._classes[self._capacities.index(self.capacity_for(num_tokens)) :]:
            slot_bytes = self._slot_bytes(slot_class)
            fitting = free_bytes // slot_bytes
            taken = fitting if slot_class.most_slots is None else min(fitting, slot_class.most_slots)
            free_bytes, count = free_bytes - taken * slot_bytes, count + taken
        return count

    def allocate(self, num_tokens: int) -> Slot | None:
        """A slot for that many tokens, or None when the budget is short. Raises ValueError if too long."""
        slot_class = self._class_for(num_tokens)
        if not slot_class.free and not self._grow(slot_class):
            return None
        return Slot(slot_class.capacity, slot_class.take())

    def free(self, slot: Slot, *, is_read: bool = False) -> None:
        """``is_read``: by the plan under way, so it is free behind that one. Raises KeyError for nobody's."""
        slot_class = self._class(slot.capacity)
        slot_class.give_back(slot.index)
        if is_read:
            slot_class.free.remove(slot.index)
            heapq.heapify(slot_class.free)
            slot_class.leaving.add(slot.index)

    @property
    def has_leaving(self) -> bool:
        """Whether slots become free as soon as the plan under way is made."""
        return any(c.leaving for c in self._classes)

    def finish_plan(self) -> None:
        """The plan under way is made: what it reads from is free for the next one."""
        for slot_class in self._classes:
            slot_class.free += slot_class.leaving
            heapq.heapify(slot_class.free)
            slot_class.leaving.clear()

    # --- holes -----------------------------------------------------------------------------------

    def missing_bytes(self, num_tokens: int) -> int:
        """What is short of a slot for that many tokens, free slots being given up for it where they can."""
        slot_class = self._class_for(num_tokens)
        if slot_class.free or slot_class.num_slots == slot_class.most_slots:
            return 0
        self._shrink_for(self._slot_bytes(slot_class))
        return max(0, self._slot_bytes(slot_class) - self._memory.free_bytes)

    @property
    def hole_bytes(self) -> int:
        """Of free slots that lie before used ones of their class."""
        return sum((c.num_needed - len(c.used) - len(c.leaving)) * self._slot_bytes(c) for c in self._classes)

    def close_holes(self, wanted_bytes: int) -> list[tuple[Slot, Slot]]:
        """Puts last slots in the place of free ones before them until so many bytes are given up behind.

        Returns each one's old place and its new one, in the order of the changes; as many as are of use.
        The step that gives the most goes first.
        """
        closed: list[tuple[Slot, Slot]] = []
        wanted_bytes += self._memory.free_bytes
        self.shrink()
        while self._memory.free_bytes < wanted_bytes:
            best = max((c for c in self._classes if c.has_hole), key=self._closing_gain, default=None)
            if best is None:
                break
            old, new = best.num_needed - 1, best.take()
            best.give_back(old)
            closed.append((Slot(best.capacity, old), Slot(best.capacity, new)))
            self.shrink()
        return closed

    def _closing_gain(self, slot_class: _SlotClass) -> int:
        return slot_class.num_freed() * self._slot_bytes(slot_class)

    # --- sizes -----------------------------------------------------------------------------------

    def shrink(self) -> None:
        """Gives up the free slots behind the used ones of every class."""
        for slot_class in self._classes:
            self._memory.return_slots(slot_class.cut() * self._slot_bytes(slot_class))

    def check(self) -> None:
        """Raises AssertionError where a slot is in two hands or in none, or the budget is exceeded."""
        for c in self._classes:
            assert sorted([*c.used, *c.leaving, *c.free]) == list(range(c.num_slots)), c
            assert c.most_slots is None or c.num_slots <= c.most_slots, c
        assert self.reserved_bytes == self._memory.slot_bytes
        self._memory.check()

    def _class(self, capacity: int) -> _SlotClass:
        return self._classes[bisect.bisect_left(self._capacities, capacity)]

    def _class_for(self, num_tokens: int) -> _SlotClass:
        """The smallest that holds so many and can have another slot, or else the smallest."""
        first = bisect.bisect_left(self._capacities, self.capacity_for(num_tokens))
        fitting = self._classes[first:]
        return next((c for c in fitting if not c.is_full), fitting[0])

    def _slot_bytes(self, slot_class: _SlotClass) -> int:
        return self._slot_bytes_of(slot_class.capacity)

    def _grow(self, slot_class: _SlotClass) -> bool:
        slot_bytes = self._slot_bytes(slot_class)
        self._shrink_for(slot_bytes)
        if slot_class.is_full or not self._memory.make_room(slot_bytes):
            return False
        affordable = self._memory.free_bytes // slot_bytes
        doubled = min(slot_class.num_slots, _MAX_GROWTH_BYTES // slot_bytes)
        count = min(max(doubled, 1), affordable)
        if slot_class.most_slots is not None:
            count = min(count, slot_class.most_slots - slot_class.num_slots)
        slot_class.grow(count)
        self._memory.take_slots(count * slot_bytes)
        return True

    def _shrink_for(self, num_bytes: int) -> None:
        if self._memory.free_bytes < num_bytes:
            self.shrink()


def _longest(
    context_length: int,
    budget_bytes: int,
    slot_bytes: Callable[[int], int],
    most_slots: Callable[[int], int | None],
) -> int:
    """Tokens of the longest sequence that the budget holds, and an array of the device."""
    lengths = range(1, context_length + 1)
    fitting = bisect.bisect_right(lengths, budget_bytes, key=slot_bytes)
    return bisect.bisect_left(lengths[:fitting], True, key=lambda length: most_slots(length) == 0)
