from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from api.engine.memory.account import KVMemory
from api.engine.memory.slots import SlotPool, length_classes
from api.step_plan import Slot
from tests.engine.factories import create_slots, tiny_slot_classes

pytestmark = pytest.mark.usefixtures("tiny_classes")


def sizes(pool: SlotPool) -> dict[int, int]:
    return dict(pool.num_slots)


def test_classes_grow_by_a_factor_and_end_with_the_longest_sequence() -> None:
    assert length_classes(100) == (8, 12, 16, 24, 32, 48, 64, 96, 100)
    assert length_classes(64) == (8, 12, 16, 24, 32, 48, 64)
    assert length_classes(5) == (5,)


def test_a_sequence_gets_the_smallest_class_that_holds_it() -> None:
    pool = create_slots(budget_tokens=64, context_length=20)
    assert [pool.capacity_for(n) for n in (1, 8, 9, 12, 13, 16, 17, 20)] == [8, 8, 12, 12, 16, 16, 20, 20]


def test_what_is_longer_than_the_longest_class_is_refused() -> None:
    pool = create_slots(budget_tokens=64, context_length=20)
    with pytest.raises(ValueError, match="21 tokens"):
        pool.allocate(21)


def test_so_many_sequences_fit_as_can_be_allocated() -> None:
    pool = create_slots(budget_tokens=64, context_length=20)
    for num_tokens, count in ((1, 8), (8, 8), (9, 5), (17, 3)):
        slots = [pool.allocate(num_tokens) for _ in range(count)]
        assert None not in slots and pool.allocate(num_tokens) is None
        for slot in filter(None, slots):
            pool.free(slot)
        assert pool.num_fitting(num_tokens) == count


def test_what_one_array_cannot_hold_fits_into_the_next_class() -> None:
    pool = SlotPool(
        KVMemory(40),
        context_length=12,
        slot_bytes=lambda capacity: capacity,
        most_slots=lambda capacity: 2,
    )
    assert pool.num_fitting(8) == 4  # two of 8 and two of 12


def test_the_budget_bounds_the_longest_sequence() -> None:
    assert create_slots(budget_tokens=50, context_length=1000).max_sequence_tokens == 50


def test_a_budget_below_one_token_is_refused() -> None:
    with pytest.raises(ValueError, match="no token"):
        SlotPool(KVMemory(99), context_length=10, slot_bytes=lambda n: 100 * n)


def test_slots_that_grow_slower_than_their_tokens_hold_longer_sequences() -> None:
    pool = SlotPool(KVMemory(150), context_length=100, slot_bytes=lambda n: n + 9 * min(n, 10))
    assert pool.max_sequence_tokens == 60
    assert pool.allocate(60) == Slot(60, 0)
    assert pool.used_bytes == pool.reserved_bytes == 150
    assert pool.allocate(1) is None


def test_the_lowest_free_index_goes_first() -> None:
    pool = create_slots()
    slots = [pool.allocate(8) for _ in range(4)]
    assert slots == [Slot(8, i) for i in range(4)]
    for index in (2, 0, 3):
        pool.free(Slot(8, index))
    assert [pool.allocate(8) for _ in range(3)] == [Slot(8, 0), Slot(8, 2), Slot(8, 3)]


def test_a_class_doubles_while_the_budget_allows() -> None:
    pool = create_slots(budget_tokens=5 * 8)
    counts = []
    for _ in range(5):
        assert pool.allocate(8) is not None
        counts.append(sizes(pool)[8])
    assert counts == [1, 2, 4, 4, 5]
    assert pool.allocate(8) is None


def test_free_slots_of_one_class_make_room_for_another() -> None:
    pool = create_slots(budget_tokens=32)
    held = [pool.allocate(8) for _ in range(4)]
    assert pool.allocate(16) is None
    pool.free(Slot(8, 3))
    assert pool.allocate(16) is None  # one free slot of 8 is too little
    pool.free(Slot(8, 2))
    assert pool.allocate(16) == Slot(16, 0)
    assert sizes(pool)[8] == 2 and len(held) == 4


def test_shrinking_keeps_what_is_used_and_all_below_it() -> None:
    pool = create_slots()
    for _ in range(4):
        pool.allocate(8)
    for index in (0, 2, 3):
        pool.free(Slot(8, index))
    pool.shrink()
    assert sizes(pool)[8] == 2
    assert (pool.used_bytes, pool.reserved_bytes) == (80, 160)
    assert pool.allocate(8) == Slot(8, 0)


def test_a_slot_that_is_read_is_free_once_the_plan_is_made() -> None:
    pool = create_slots(budget_tokens=16)
    first, second = pool.allocate(8), pool.allocate(8)
    assert first is not None and second is not None
    pool.free(first, is_read=True)
    pool.free(second, is_read=True)
    pool.shrink()
    assert pool.has_leaving and sizes(pool)[8] == 2 and pool.used_bytes == 0
    assert pool.allocate(8) is None and pool.allocate(16) is None
    pool.check()
    pool.finish_plan()
    assert not pool.has_leaving
    assert pool.allocate(16) == Slot(16, 0)


def holed(*free: int, count: int = 6) -> SlotPool:
    """``count`` slots of 8 tokens, all the memory there is; these are free."""
    pool = create_slots(budget_tokens=8 * count)
    for _ in range(count):
        pool.allocate(8)
    for index in free:
        pool.free(Slot(8, index))
    return pool


def places(pool: SlotPool, wanted_bytes: int) -> list[tuple[int, int]]:
    closed = [(old.index, new.index) for old, new in pool.close_holes(wanted_bytes)]
    pool.check()
    return closed


def test_the_last_slots_go_to_the_first_holes_as_far_as_is_of_use() -> None:
    pool = holed(0, 1, 2, 4)
    assert (pool.missing_bytes(8), pool.missing_bytes(16), pool.hole_bytes) == (0, 160, 320)
    assert places(pool, 160) == [(5, 0)]  # and the hole before it goes with it
    assert (sizes(pool)[8], pool.hole_bytes) == (4, 160)
    assert places(pool, 160) == [(3, 1)]
    assert (sizes(pool)[8], pool.hole_bytes) == (2, 0)
    assert places(pool, 10) == []


def test_one_that_is_alone_far_behind_gives_up_all_before_it() -> None:
    pool = holed(0, 1, 2, 3, 4)
    assert places(pool, pool.hole_bytes) == [(5, 0)]
    assert sizes(pool)[8] == 1


def test_free_slots_behind_the_last_are_no_holes() -> None:
    pool = holed(4, 5)
    assert pool.hole_bytes == 0
    assert pool.missing_bytes(16) == 0


def test_nothing_is_put_where_a_plan_still_reads() -> None:
    pool = holed()
    pool.free(Slot(8, 1), is_read=True)
    assert pool.hole_bytes == 0
    assert places(pool, 80) == []
    pool.free(Slot(8, 3))
    pool.free(Slot(8, 5), is_read=True)  # nothing behind it can be given up yet
    assert places(pool, 80) == []


def test_a_class_has_no_more_slots_than_fit_an_array() -> None:
    pool = SlotPool(
        KVMemory(1000),
        context_length=100,
        slot_bytes=lambda capacity: capacity,
        most_slots=lambda capacity: 40 // capacity,
    )
    assert pool.max_sequence_tokens == 40
    slots = [pool.allocate(16) for _ in range(4)]
    assert slots == [Slot(16, 0), Slot(16, 1), Slot(24, 0), Slot(32, 0)]
    assert [pool.allocate(33), pool.allocate(33)] == [Slot(40, 0), None]
    assert pool.missing_bytes(33) == 0
    pool.check()


def test_releasing_a_slot_twice_is_an_error() -> None:
    pool = create_slots()
    slot = pool.allocate(8)
    assert slot is not None
    pool.free(slot)
    with pytest.raises(KeyError):
        pool.free(slot)


class SlotPoolMachine(RuleBasedStateMachine):
    """A pool under any order of calls, beside a plain list of the slots that were handed out."""

    def __init__(self) -> None:
        super().__init__()
        with tiny_slot_classes():
            self.pool = create_slots(budget_tokens=100, context_length=50, bytes_per_token=3)
        self.held: list[Slot] = []

    @rule(num_tokens=st.integers(1, 50))
    def allocate(self, num_tokens: int) -> None:
        free = self.pool.budget_bytes - self.pool.used_bytes
        before = self.pool.num_slots
        slot = self.pool.allocate(num_tokens)
        if slot is None:
            # Free slots below a used one are the only memory that may be left over.
            assert free < 3 * (self.pool.capacity_for(num_tokens) + _holes(self.held))
            return
        assert slot not in self.held
        assert slot.capacity == self.pool.capacity_for(num_tokens)
        taken = {s.index for s in self.held if s.capacity == slot.capacity}
        assert slot.index == min(set(range(len(taken) + 1)) - taken) or dict(before)[slot.capacity] == 0
        self.held.append(slot)

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        slot = data.draw(st.sampled_from(self.held))
        self.held.remove(slot)
        self.pool.free(slot)

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def release_for_a_plan(self, data: st.DataObject) -> None:
        slot = data.draw(st.sampled_from(self.held))
        self.held.remove(slot)
        self.pool.free(slot, is_read=True)
        self.pool.check()
        self.pool.finish_plan()

    @rule(share=st.floats(0, 1))
    def close_holes(self, share: float) -> None:
        wanted, before = int(share * self.pool.hole_bytes), self.pool.hole_bytes
        for old, new in self.pool.close_holes(wanted):
            assert new not in self.held and new.capacity == old.capacity and new.index < old.index
            self.held[self.held.index(old)] = new
        assert before - self.pool.hole_bytes >= wanted

    @rule()
    def shrink(self) -> None:
        self.pool.shrink()
        used = {c: [s.index for s in self.held if s.capacity == c] for c in sizes(self.pool)}
        assert sizes(self.pool) == {c: max(indices, default=-1) + 1 for c, indices in used.items()}

    @invariant()
    def bytes_add_up(self) -> None:
        self.pool.check()
        assert self.pool.used_bytes == 3 * sum(slot.capacity for slot in self.held)
        assert self.pool.reserved_bytes == 3 * sum(c * n for c, n in self.pool.num_slots)
        assert self.pool.reserved_bytes <= 300

    def teardown(self) -> None:
        for slot in self.held:
            self.pool.free(slot)
        self.pool.shrink()
        assert self.pool.reserved_bytes == 0


def _holes(held: list[Slot]) -> int:
    """Tokens in the free slots that lie below a used one of their class."""
    capacities = {slot.capacity for slot in held}
    indices = {c: [s.index for s in held if s.capacity == c] for c in capacities}
    return sum(c * (max(i) + 1 - len(i)) for c, i in indices.items())


SlotPoolMachine.TestCase.settings = settings(max_examples=40, stateful_step_count=25, deadline=None)
TestSlotPool = SlotPoolMachine.TestCase
