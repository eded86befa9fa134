from __future__ import annotations

import mlx.core as mx
import numpy as np
import pytest

from api.engine.forward.kv.ring_places import RowPlaces
from api.engine.forward.kv.slot_array import QuantizedFormat
from api.engine.forward.kv.store import KVStore
from api.step_plan import BlockLoad, BlockSave, Slot, SlotMove, StepPlan

pytestmark = pytest.mark.device

HEADS, DIM = 2, 4


def rows(positions: range, mark: int) -> mx.array:
    """``[1, heads, n, dim]`` whose entries tell the sequence and the position."""
    values = mx.array([1000.0 * mark + p for p in positions])
    return mx.broadcast_to(values[None, None, :, None], (1, HEADS, len(positions), DIM))


def write(store: KVStore, slot: Slot, positions: range, mark: int) -> None:
    for layer in store.layers:
        new = rows(positions, mark)
        layer.ensure(slot.capacity, store.num_slots[slot.capacity], new, new)
        layer.write_chunk(slot, positions.start, new, -new)


def content(store: KVStore, slot: Slot, layer: int = 0) -> list[float]:
    keys = store.layers[layer].keys[slot.capacity][slot.index]
    values = store.layers[layer].values[slot.capacity][slot.index]
    assert mx.array_equal(keys, -values)
    assert mx.array_equal(keys, mx.broadcast_to(keys[:1, :, :1], keys.shape))
    return [float(x) for x in np.array(keys[0, :, 0])]


def plan(num_slots: list[tuple[int, int]], moves: list[SlotMove]) -> StepPlan:
    return StepPlan(num_slots=tuple(num_slots), moves=tuple(moves))


def expected(positions: range, mark: int) -> list[float]:
    return [1000.0 * mark + p for p in positions]


@pytest.fixture
def store() -> KVStore:
    """Two layers, class 8 with three slots that hold 5, 6 and 7 tokens."""
    store = KVStore([None, None])
    store.apply(plan([(8, 3), (16, 0)], []))
    for index in range(3):
        write(store, Slot(8, index), range(5 + index), mark=index + 1)
    return store


def test_growing_keeps_the_contents(store: KVStore) -> None:
    store.apply(plan([(8, 5), (16, 1)], []))
    assert store.layers[0].keys[8].parts[0].shape == (5, HEADS, 8, DIM)
    for index in range(3):
        assert content(store, Slot(8, index), 1)[: 5 + index] == expected(range(5 + index), index + 1)


def test_shrinking_keeps_the_slots_that_stay(store: KVStore) -> None:
    store.apply(plan([(8, 2), (16, 0)], []))
    assert [array.shape[0] for array in store.arrays()] == [2] * 4
    assert content(store, Slot(8, 1))[:6] == expected(range(6), 2)


def test_an_empty_class_has_no_arrays_and_can_come_back(store: KVStore) -> None:
    store.apply(plan([(8, 0), (16, 0)], []))
    assert store.arrays() == []
    store.apply(plan([(8, 1), (16, 0)], []))
    write(store, Slot(8, 0), range(4), mark=9)
    assert content(store, Slot(8, 0))[:4] == expected(range(4), 9)


def test_a_move_copies_to_the_larger_class(store: KVStore) -> None:
    store.apply(plan([(8, 3), (16, 2)], [SlotMove(Slot(8, 2), Slot(16, 1), 7)]))
    for layer in (0, 1):
        assert content(store, Slot(16, 1), layer)[:7] == expected(range(7), 3)
        assert content(store, Slot(8, 0), layer)[:5] == expected(range(5), 1)


def test_a_slot_that_is_given_up_in_the_same_step_can_still_be_moved_from(store: KVStore) -> None:
    store.apply(plan([(8, 0), (16, 1)], [SlotMove(Slot(8, 2), Slot(16, 0), 7)]))
    assert content(store, Slot(16, 0))[:7] == expected(range(7), 3)
    assert store.num_slots == {8: 0, 16: 1}


def test_holes_are_closed_before_anything_else_is_done_with_the_slots(store: KVStore) -> None:
    store.apply(
        StepPlan(
            saves=(BlockSave(1, Slot(8, 0), 0, 4),),  # of one that has just left
            compactions=(SlotMove(Slot(8, 2), Slot(8, 0), 7),),
            num_slots=((8, 2), (16, 1)),
            moves=(SlotMove(Slot(8, 0), Slot(16, 0), 7),),
        )
    )
    store.compute_saves()
    assert store.num_slots == {8: 2, 16: 1}
    for layer in (0, 1):
        assert content(store, Slot(8, 0), layer)[:7] == expected(range(7), 3)
        assert content(store, Slot(8, 1), layer)[:6] == expected(range(6), 2)
        assert content(store, Slot(16, 0), layer)[:7] == expected(range(7), 3)
    store.apply(StepPlan(num_slots=((8, 2), (16, 1)), loads=(BlockLoad((1,), Slot(8, 1)),)))
    assert content(store, Slot(8, 1))[:4] == expected(range(4), 1)


@pytest.mark.parametrize("kind", ["grow", "shrink", "move", "compact", "exchange"])
def test_slots_that_change_never_take_more_than_a_layer_beside_the_budget(kind: str) -> None:
    """What is given up goes before what comes, and each layer is done before the next."""
    num_layers = 8
    plans = {
        "grow": StepPlan(num_slots=((512, 5), (1024, 0))),
        "shrink": StepPlan(num_slots=((512, 3), (1024, 0))),
        "move": StepPlan(
            num_slots=((512, 4), (1024, 2)), moves=(SlotMove(Slot(512, 3), Slot(1024, 1), 512),)
        ),
        "compact": StepPlan(
            num_slots=((512, 4), (1024, 0)), compactions=(SlotMove(Slot(512, 3), Slot(512, 0), 512),)
        ),
        "exchange": StepPlan(num_slots=((512, 0), (1024, 2)), loads=(BlockLoad((1,), Slot(1024, 0)),)),
    }
    limit = mx.set_cache_limit(0)
    store = KVStore([None] * num_layers)
    store.apply(StepPlan(num_slots=((512, 4), (1024, 0))))
    for index in range(4):
        write(store, Slot(512, index), range(512), mark=index)
    store.apply(StepPlan(num_slots=((512, 4), (1024, 0)), saves=(BlockSave(1, Slot(512, 0), 0, 32),)))
    store.compute_saves()
    mx.eval(store.arrays())
    slot_bytes = sum(array.nbytes for array in store.arrays()) // 4
    before_bytes = mx.get_active_memory()
    mx.reset_peak_memory()
    store.apply(plans[kind])
    mx.eval(store.arrays())
    num_512, num_1024 = (count for _, count in plans[kind].num_slots)
    after_bytes = before_bytes + (num_512 + 2 * num_1024 - 4) * slot_bytes
    layer_bytes = 4 * slot_bytes // num_layers
    assert mx.get_peak_memory() <= max(before_bytes, after_bytes) + 1.5 * layer_bytes
    mx.set_cache_limit(limit)


def test_moves_happen_in_their_order(store: KVStore) -> None:
    store.apply(plan([(8, 3), (16, 1), (32, 1)], [SlotMove(Slot(8, 0), Slot(16, 0), 5)]))
    chain = [SlotMove(Slot(16, 0), Slot(32, 0), 5), SlotMove(Slot(8, 1), Slot(16, 0), 6)]
    store.apply(plan([(8, 3), (16, 1), (32, 1)], chain))
    assert content(store, Slot(32, 0))[:5] == expected(range(5), 1)
    assert content(store, Slot(16, 0))[:6] == expected(range(6), 2)


def test_single_rows_go_to_their_slots_and_positions(store: KVStore) -> None:
    new = mx.concatenate([rows(range(6, 7), 2), rows(range(5, 6), 1)])
    for layer in store.layers:
        layer.write_rows(8, RowPlaces(mx.array([1, 0]), mx.array([6, 5])), new, -new)
    assert content(store, Slot(8, 0))[:6] == expected(range(6), 1)
    assert content(store, Slot(8, 1))[:7] == expected(range(7), 2)
    assert content(store, Slot(8, 2))[:7] == expected(range(7), 3)


def test_clearing_drops_everything(store: KVStore) -> None:
    store.clear()
    assert store.arrays() == [] and store.num_slots == {}


def ring_content(newest: int, ring: int, mark: int) -> list[float]:
    """What a ring holds after position ``newest``: each index the last position that fell on it."""
    return [1000.0 * mark + max(p for p in range(newest + 1) if p % ring == i) for i in range(ring)]


def test_a_windowed_layer_keeps_only_its_ring() -> None:
    store = KVStore([None, 6])
    store.apply(plan([(16, 1)], []))
    for start in range(0, 15, 4):
        write(store, Slot(16, 0), range(start, min(start + 4, 15)), mark=1)
    assert content(store, Slot(16, 0), 0)[:15] == expected(range(15), 1)
    assert content(store, Slot(16, 0), 1) == ring_content(14, 6, 1)
    new = rows(range(15, 16), 1)
    store.layers[1].write_rows(16, RowPlaces(mx.array([0]), mx.array([15])), new, -new)
    assert content(store, Slot(16, 0), 1) == ring_content(15, 6, 1)


@pytest.mark.parametrize("num_tokens", [5, 8])
def test_a_move_keeps_a_ring_that_wrapped_and_one_that_did_not(num_tokens: int) -> None:
    store = KVStore([12, 6])
    store.apply(plan([(8, 1), (32, 0)], []))
    for start in range(0, num_tokens, 2):
        write(store, Slot(8, 0), range(start, min(start + 2, num_tokens)), mark=1)
    store.apply(plan([(8, 0), (32, 1)], [SlotMove(Slot(8, 0), Slot(32, 0), num_tokens)]))
    assert content(store, Slot(32, 0), 0)[:num_tokens] == expected(range(num_tokens), 1)
    write(store, Slot(32, 0), range(num_tokens, 9), mark=1)
    assert content(store, Slot(32, 0), 0)[:9] == expected(range(9), 1)
    assert content(store, Slot(32, 0), 1) == ring_content(8, 6, 1)


def test_bytes_follow_the_arrays(store: KVStore) -> None:
    layer = store.layers[0]
    assert layer.bytes_per_token() == 2 * HEADS * DIM * 4
    assert KVStore([6]).layers[0].bytes_per_token() == 0
    assert [KVStore([6]).layers[0].ring(capacity) for capacity in (4, 6, 16)] == [4, 6, 6]


# --- quantised ---------------------------------------------------------------------------------


@pytest.mark.parametrize("bits", [8, 4])
def test_quantised_slots_hold_what_was_written_about(bits: int) -> None:
    store = KVStore([None, 6])
    store.use(QuantizedFormat(bits))
    store.apply(plan([(8, 2), (16, 1)], []))
    keys = mx.random.normal((1, HEADS, 7, 64), key=mx.random.key(0))
    for layer in store.layers:
        layer.ensure(8, 2, keys, -keys)
        layer.write_chunk(Slot(8, 1), 0, keys, -keys)
    error = 2.0 / 2**bits
    found = store.layers[0].read(Slot(8, 1), 0, 7)
    assert found is not None
    assert mx.max(mx.abs(found[0] - keys)) < 3 * error
    assert mx.array_equal(store.layers[0].keys[8][1:2, :, :7], found[0])
    assert store.layers[0].bytes_per_token() == 2 * HEADS * (64 * bits // 8 + 8)
    store.apply(plan([(8, 2), (16, 1)], [SlotMove(Slot(8, 1), Slot(16, 0), 7)]))
    for layer in store.layers:
        before, after = layer.read(Slot(8, 1), 1, 6), layer.read(Slot(16, 0), 1, 6)
        assert before is not None and after is not None
        assert mx.array_equal(before[0], after[0]) and mx.array_equal(before[1], after[1])


def test_a_block_of_quantised_slots_comes_back_as_it_was_stored() -> None:
    store = KVStore([None, None])
    store.use(QuantizedFormat(4))
    store.apply(plan([(8, 2)], []))
    keys = mx.random.normal((1, HEADS, 4, 32), key=mx.random.key(0))
    for layer in store.layers:
        layer.ensure(8, 2, keys, 2 * keys)
        layer.write_chunk(Slot(8, 0), 0, keys, 2 * keys)
    store.apply(StepPlan(saves=(BlockSave(1, Slot(8, 0), 0, 4),), num_slots=((8, 2),)))
    store.compute_saves()
    assert store.block_bytes == 4 * sum(layer.bytes_per_token() for layer in store.layers)
    store.apply(StepPlan(num_slots=((8, 2),), loads=(BlockLoad((1,), Slot(8, 1)),)))
    for layer in store.layers:
        first, second = layer.read(Slot(8, 0), 0, 4), layer.read(Slot(8, 1), 0, 4)
        assert first is not None and second is not None
        assert mx.array_equal(first[0], second[0]) and mx.array_equal(first[1], second[1])


def test_heads_that_no_group_fits_cannot_be_quantised() -> None:
    with pytest.raises(ValueError, match="80 numbers"):
        QuantizedFormat(8).encode(mx.zeros((1, 1, 1, 80)))


def test_the_parts_of_some_classes_are_taken_out_and_put_back_in_their_order() -> None:
    store = KVStore([None, None])
    store.use(QuantizedFormat(8))
    store.apply(plan([(16, 1), (32, 1)], []))
    for capacity in (16, 32):
        for layer in store.layers:
            new = mx.ones((1, 1, 1, 32))
            layer.ensure(capacity, 1, new, new)
    assert store.has_arrays([16, 32]) and not store.has_arrays([16, 64])
    parts = store.parts([32])
    assert len(parts) == 2 * 2 * 3  # layers, keys and values, and what a quantised array is made of
    store.replace_parts([32], [part + 1 for part in parts])
    assert all(mx.all(new == old + 1).item() for new, old in zip(store.parts([32]), parts, strict=True))
