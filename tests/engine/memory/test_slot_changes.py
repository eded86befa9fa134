from __future__ import annotations

from api.engine.memory.slot_changes import SlotChanges
from api.step_plan import BlockLoad, Slot, SlotMove

A, B, C, D = (Slot(8, index) for index in range(4))
LARGER = Slot(16, 0)


def test_what_lies_in_a_slot_is_copied_and_what_comes_goes_to_the_new_place_at_once() -> None:
    changes = SlotChanges()
    changes.compact(D, A, 5)
    changes.compact(C, B, 0)  # nothing is in it yet
    assert changes.compactions == [SlotMove(D, A, 5)]
    changes.loads.append(BlockLoad((1, 2), C))
    changes.compact(C, B, 8)
    assert (changes.loads, changes.compactions) == ([BlockLoad((1, 2), B)], [SlotMove(D, A, 5)])


def test_a_second_compaction_reads_from_where_the_first_one_did() -> None:
    changes = SlotChanges()
    changes.compact(D, B, 5)
    changes.compact(B, A, 5)
    assert changes.compactions == [SlotMove(D, A, 5)]


def test_moves_follow_what_they_read_and_what_they_fill() -> None:
    changes = SlotChanges(moves=[SlotMove(D, LARGER, 7), SlotMove(D, C, 7)])
    changes.compact(D, A, 7)
    changes.compact(C, B, 7)
    assert changes.compactions == [SlotMove(D, A, 7)]
    assert changes.moves == [SlotMove(A, LARGER, 7), SlotMove(A, B, 7)]


def test_nothing_is_done_for_a_slot_that_nobody_has() -> None:
    changes = SlotChanges(loads=[BlockLoad((1,), A)], moves=[SlotMove(A, B, 3)])
    changes.compact(D, C, 2)
    assert changes.fills(A) and changes.fills(B) and not changes.fills(C)
    assert changes.reads(A) and not changes.reads(B)
    for slot in (A, B, C):
        changes.forget(slot)
    assert changes == SlotChanges()
