from __future__ import annotations

from collections.abc import Sequence

import mlx.core as mx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.engine.forward.kv.recurrent_state import StateStore
from api.step_plan import BlockLoad, BlockSave, Slot, SlotMove, Span, StepPlan

pytestmark = pytest.mark.device

A, B, C, LARGER = Slot(8, 0), Slot(8, 1), Slot(8, 2), Slot(16, 0)
SLOTS = [A, B, C, LARGER]


def spans(**slots: Slot) -> tuple[Span, ...]:
    """``s1=A``: sequence 1 has a row in slot A."""
    return tuple(Span(int(name[1:]), slot, 1, (0,), 1, 0) for name, slot in slots.items())


def state(*values: float) -> list[mx.array | None]:
    """One row for each value; an entry of two numbers, one of one, and one that the model leaves empty."""
    rows = mx.array(values)[:, None]
    return [mx.concatenate([rows, rows], axis=1), -rows, None]


def values(rows: Sequence[mx.array | None]) -> list[float]:
    wide, narrow, nothing = rows
    assert wide is not None and narrow is not None and nothing is None
    assert mx.array_equal(wide, mx.concatenate([-narrow, -narrow], axis=1))
    return [float(value) for value in wide[:, 0].tolist()]  # type: ignore[union-attr]


def store_of(**slots: tuple[Slot, float]) -> StateStore:
    store = StateStore(3)
    store.apply(StepPlan(spans=spans(**{name: slot for name, (slot, _) in slots.items()})))
    for slot, value in slots.values():
        store.put(slot, state(value))
    return store


def test_nobody_starts_from_somebody_elses_state() -> None:
    store = store_of(s1=(A, 1.0))
    store.apply(StepPlan(released=(1,), spans=spans(s2=A)))
    assert store.empty() == [None, None, None]
    with pytest.raises(KeyError):
        store.take(A)


def test_rows_come_in_the_order_that_is_asked_for() -> None:
    store = store_of(s1=(A, 1.0), s2=(B, 2.0), s3=(C, 3.0))
    assert values(store.take_rows([C, A])) == [3.0, 1.0]
    assert values(store.take_rows([A, B, C])) == [1.0, 2.0, 3.0]
    assert values(store.take(B)) == [2.0]


def test_rows_that_stay_together_are_not_copied() -> None:
    store = store_of(s1=(A, 1.0), s2=(B, 2.0))
    store.take_rows([A, B])
    after = state(4.0, 5.0)
    store.put_rows(after)
    assert all(ours is theirs for ours, theirs in zip(store.take_rows([A, B]), after, strict=True))


def test_a_row_that_waits_keeps_its_state() -> None:
    store = store_of(s1=(A, 1.0), s2=(B, 2.0))
    store.take_rows([A, B])
    store.put_rows(state(4.0, 5.0))
    store.take_rows([B])
    store.put_rows(state(6.0))
    assert values(store.take_rows([A, B])) == [4.0, 6.0]


def test_a_state_moves_with_its_sequence() -> None:
    store = store_of(s1=(A, 1.0), s2=(B, 2.0))
    store.take_rows([A, B])
    store.apply(StepPlan(moves=(SlotMove(A, LARGER, 3),), spans=spans(s1=LARGER, s3=A)))
    store.put(A, state(3.0))
    assert values(store.take_rows([LARGER, B, A])) == [1.0, 2.0, 3.0]
    store.apply(StepPlan(released=(1,)))
    with pytest.raises(KeyError):
        store.take(LARGER)
    assert values(store.take_rows([A, B])) == [3.0, 2.0]


def test_a_state_is_saved_as_it_was_and_loaded_as_often_as_wanted() -> None:
    store = store_of(s1=(A, 1.0), s2=(B, 2.0))
    store.take_rows([A, B])
    save = BlockSave(7, A, 0, 4, with_state=True)
    store.apply(StepPlan(released=(1,), saves=(save,)))
    store.compute_saves()
    store.put(A, state(9.0))
    assert store.cached_bytes == 3 * 4
    for slot in (A, C):
        store.apply(StepPlan(loads=(BlockLoad((5, 7), slot),)))
        assert values(store.take(slot)) == [1.0]
    store.apply(StepPlan(evicted_blocks=(7,)))
    assert store.cached_bytes == 0


def test_a_block_without_state_has_none() -> None:
    store = store_of(s1=(A, 1.0))
    store.apply(StepPlan(saves=(BlockSave(7, A, 0, 4),)))
    assert store.cached_bytes == 0


def test_released_states_take_no_memory() -> None:
    store = store_of(s1=(A, 1.0), s2=(B, 2.0), s3=(C, 3.0))
    store.take_rows([A, B])
    store.apply(StepPlan(released=(1, 2, 3)))
    assert store.arrays() == []


def test_what_is_put_is_copied_out_of_the_array_that_it_is_part_of() -> None:
    large = mx.zeros((1, 1000, 1))
    store = StateStore(1)
    store.put(A, [large[:, -1:]])
    del large
    mx.eval(store.arrays())
    before = mx.get_active_memory()
    store.clear()
    assert before - mx.get_active_memory() < 1000


def test_states_of_other_shapes_are_told_apart() -> None:
    store = StateStore(1)
    for slot, length in ((A, 2), (B, 1), (C, 2)):
        store.put(slot, [mx.zeros((1, length))])
    assert store.alike([A, B, C]) == {A, C}
    store.take_rows([B])
    assert store.alike([A, B]) == {B}


Action = tuple[str, int, int]


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["start", "release", "move", "rows", "save", "load", "drop"]),
            st.integers(0, 3),
            st.integers(0, 7),
        ),
        max_size=25,
    )
)
def test_it_is_a_dictionary(actions: list[Action]) -> None:
    store, held, cached = StateStore(3), dict[Slot, float](), dict[int, float]()
    for number, action in enumerate(actions):
        _act(store, held, cached, action, float(number + 1))
        store.compute_saves()
        for slot, value in held.items():
            assert values(store.take(slot)) == [value]
        assert store.cached_bytes == 3 * 4 * len(cached)


def _act(
    store: StateStore, held: dict[Slot, float], cached: dict[int, float], action: Action, value: float
) -> None:
    """Does the same to the store and to what it should hold; sequence ``i`` starts in slot ``i``."""
    kind, which, other = action
    slot, target = SLOTS[which], SLOTS[other % 4]
    if kind == "start" and slot not in held:
        store.apply(StepPlan(spans=spans(**{f"s{which}": slot})))
        store.put(slot, state(value))
        held[slot] = value
    elif kind == "release" and slot in held:
        held.pop(slot)
        store.apply(StepPlan(spans=spans(s9=slot)))
        store.apply(StepPlan(released=(9,)))
    elif kind == "move" and slot in held and target not in held:
        held[target] = held.pop(slot)
        store.apply(StepPlan(moves=(SlotMove(slot, target, 1),)))
    elif kind == "rows" and held:
        chosen = [each for bit, each in enumerate(SLOTS) if each in held and (other >> bit) & 1] or [*held]
        assert values(store.take_rows(chosen)) == [held[each] for each in chosen]
        held.update({each: held[each] + 100 for each in chosen})
        store.put_rows(state(*(held[each] for each in chosen)))
    elif kind == "save" and slot in held and other not in cached:
        cached[other] = held[slot]
        store.apply(StepPlan(saves=(BlockSave(other, slot, 0, 4, with_state=True),)))
    elif kind == "load" and slot not in held and other in cached:
        held[slot] = cached[other]
        store.apply(StepPlan(loads=(BlockLoad((other,), slot),)))
    elif kind == "drop":
        cached.pop(other, None)
        store.apply(StepPlan(evicted_blocks=(other,)))
