from __future__ import annotations

import mlx.core as mx
import pytest

from api.engine.forward.kv.host_copy import to_device, to_host
from api.engine.forward.kv.slot_array import QuantizedFormat
from api.engine.forward.kv.store import KVStore
from api.step_plan import BlockLoad, BlockSave, Slot, StepPlan

pytestmark = pytest.mark.device

SLOT, OTHER = Slot(8, 0), Slot(8, 1)


@pytest.mark.parametrize(
    "dtype", [mx.float32, mx.float16, mx.bfloat16, mx.uint32, mx.uint8, mx.int32, mx.int64]
)
@pytest.mark.parametrize("shape", [(2, 3, 4), (5,), (0,), (2, 0)])
def test_copies_in_plain_memory_come_back_as_they_were(dtype: mx.Dtype, shape: tuple[int, ...]) -> None:
    array = (100 * mx.random.uniform(shape=shape)).astype(dtype)
    copy = to_host(array)
    back = to_device(copy)
    assert (back.dtype, back.shape, copy.form.num_bytes) == (dtype, shape, array.nbytes)
    assert len(copy.data) == array.nbytes
    assert mx.array_equal(back, array)


def test_a_part_of_an_array_is_copied_alone() -> None:
    array = mx.arange(24).reshape(2, 3, 4).astype(mx.bfloat16)
    assert mx.array_equal(to_device(to_host(array[:, 1:, 2:])), array[:, 1:, 2:])


def create_store(mark: float) -> KVStore:
    """Layers of two forms; five tokens in one of two slots."""
    store = KVStore([None, None, 6])
    store.apply(StepPlan(num_slots=((8, 2),)))
    for index, layer in enumerate(store.layers):
        shape = (1, 2, 5, 4 + 2 * (index == 1))
        keys = (mark + mx.arange(mx.zeros(shape).size)).reshape(shape).astype(mx.bfloat16)
        layer.ensure(8, 2, keys, -keys)
        layer.write_chunk(SLOT, 0, keys, -keys)
    return store


def test_a_block_from_one_store_serves_in_another() -> None:
    source, target = create_store(mark=1), create_store(mark=50)
    for store in (source, target):
        store.apply(StepPlan(saves=(BlockSave(1, SLOT, 0, 2), BlockSave(2, SLOT, 2, 2)), num_slots=((8, 2),)))
        store.compute_saves()
    for block_id in (1, 2):
        target.blocks.insert(block_id + 10, source.blocks.export(block_id))
    assert target.block_bytes == 2 * source.block_bytes
    target.apply(StepPlan(evicted_blocks=(1, 2), loads=(BlockLoad((11, 12), OTHER),), num_slots=((8, 2),)))
    assert target.block_bytes == source.block_bytes
    for there, here in zip(source.layers, target.layers, strict=True):
        wanted, found = there.read(SLOT, 0, 4), here.read(OTHER, 0, 4)
        assert wanted is not None and found is not None
        assert all(mx.array_equal(a, b) for a, b in zip(wanted, found, strict=True))


def save_one(store: KVStore) -> None:
    """A block of two tokens of 32 numbers, of a new layer's slot."""
    store.apply(StepPlan(num_slots=((8, 2),)))
    keys = mx.random.normal((1, 2, 5, 32))
    store.layers[0].ensure(8, 2, keys, -keys)
    store.layers[0].write_chunk(SLOT, 0, keys, -keys)
    store.apply(StepPlan(saves=(BlockSave(1, SLOT, 0, 2),), num_slots=((8, 2),)))
    store.compute_saves()


@pytest.mark.parametrize("bits", [4, 8])
def test_a_store_that_begins_to_quantise_keeps_its_blocks_quantised(bits: int) -> None:
    store = KVStore([None])
    save_one(store)
    num_plain_bytes = store.block_bytes
    store.clear()
    store.use(QuantizedFormat(bits))
    save_one(store)
    copies = store.blocks.export(1)
    assert {copy.form.kind for copy in copies} == {"U32", "F32"}
    assert sum(len(copy.data) for copy in copies) == store.block_bytes < num_plain_bytes
    store.blocks.insert(2, copies)
    store.apply(StepPlan(evicted_blocks=(1,), loads=(BlockLoad((2,), OTHER),), num_slots=((8, 2),)))
    wanted, found = store.layers[0].read(SLOT, 0, 2), store.layers[0].read(OTHER, 0, 2)
    assert wanted is not None and found is not None
    assert all(mx.array_equal(a, b) for a, b in zip(wanted, found, strict=True))
