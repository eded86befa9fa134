from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import mlx.core as mx
import pytest

from api.engine.forward.choosing.self_check import SelfCheckError, check_forward
from api.engine.forward.grouped import GroupedForward
from api.engine.forward.kv.recurrent_state import State, StateStore
from api.step_plan import BlockLoad, BlockSave, Slot, Span, StepPlan
from tests.engine.tiny_models import GROUPED, VOCAB_SIZE, build_model, choose

pytestmark = pytest.mark.device

Patch = pytest.MonkeyPatch


def grouped(name: str) -> GroupedForward:
    forward = choose(name, "grouped")[0].forward
    assert isinstance(forward, GroupedForward)
    return forward


def span(sequence: int, start: int, count: int, num_samples: int = 1) -> Span:
    """Of sequence ``i``, which says ``i, i + 1, ..`` in slot ``i``."""
    ids = tuple(range(sequence + start, sequence + start + count))
    return Span(sequence, Slot(64, sequence), start, ids, num_samples, 0)


def run(forward: GroupedForward, *spans: Span, released: tuple[int, ...] = ()) -> mx.array:
    plan = StepPlan(released=released, num_slots=((64, 4),), spans=spans)
    logits = forward(plan, mx.array([token for each in spans for token in each.token_ids], dtype=mx.int32))
    mx.eval(logits, forward.state())
    return logits


def plain_row(name: str, sequence: int, num_tokens: int) -> mx.array:
    logits: mx.array = build_model(name)(mx.array([list(range(sequence, sequence + num_tokens))]))
    return logits[0, -1]


class Counting:
    """A model that notes the shapes it is called with."""

    def __init__(self, model: Any) -> None:
        self._model = model
        self.shapes: list[tuple[int, ...]] = []

    def __call__(self, token_ids: mx.array, cache: Any) -> Any:
        self.shapes.append(token_ids.shape)
        return self._model(token_ids, cache=cache)


def test_the_rows_of_all_sequences_are_one_forward_and_each_chunk_is_one() -> None:
    forward = grouped("lfm2")
    for sequence in range(3):
        run(forward, span(sequence, 0, 4))
    forward._model = model = Counting(forward._model)
    run(forward, span(0, 4, 1), span(1, 4, 1), span(3, 0, 7), span(2, 4, 5))
    assert sorted(model.shapes) == [(1, 5), (1, 7), (2, 1)]


@pytest.mark.parametrize("name", GROUPED)
def test_logits_come_in_the_order_of_the_spans(name: str) -> None:
    forward = grouped(name)
    run(forward, span(1, 0, 5))
    run(forward, span(2, 0, 3))
    logits = run(forward, span(0, 0, 1), span(2, 3, 1), span(1, 5, 4), span(3, 0, 2))
    wanted = [plain_row(name, 0, 1), plain_row(name, 2, 4), plain_row(name, 1, 9), plain_row(name, 3, 2)]
    assert mx.allclose(logits, mx.stack(wanted), atol=1e-3)


def test_only_rows_that_sample_give_logits() -> None:
    forward = grouped("lfm2")
    assert run(forward, span(0, 0, 4, num_samples=0)).shape[0] == 0
    logits = run(forward, span(0, 4, 1, num_samples=0), span(1, 0, 3), span(2, 0, 3, num_samples=0))
    assert mx.allclose(logits, plain_row("lfm2", 1, 3)[None], atol=1e-3)
    logits = run(forward, span(0, 5, 1, num_samples=0), span(1, 3, 1))
    assert mx.allclose(logits, plain_row("lfm2", 1, 4)[None], atol=1e-3)


def test_the_state_of_a_sequence_takes_what_was_promised() -> None:
    chosen, _ = choose("qwen3_next")
    forward = chosen.forward
    assert isinstance(forward, GroupedForward)
    run(forward, span(0, 0, 9))
    kv_bytes = 4 * (chosen.slot_bytes(64) - chosen.state_bytes)
    assert sum(array.nbytes for array in forward.state()) == kv_bytes + chosen.state_bytes
    run(forward, released=(0,))
    assert sum(array.nbytes for array in forward.state()) == kv_bytes
    forward.reset()
    assert forward.state() == []


@pytest.fixture
def no_reused_buffers() -> Iterator[None]:
    """MLX takes a freed buffer that is somewhat larger, which would count in full."""
    before = mx.set_cache_limit(0)
    mx.clear_cache()
    yield
    mx.set_cache_limit(before)


@pytest.mark.usefixtures("no_reused_buffers")
def test_a_cached_state_holds_nothing_of_the_slots() -> None:
    forward = grouped("mamba2")
    run(forward, span(0, 0, 8), span(1, 0, 8))
    save = BlockSave(0, Slot(64, 0), 0, 8, with_state=True)
    plan = StepPlan(saves=(save,), num_slots=((64, 4),), spans=(span(0, 8, 1), span(1, 8, 1)))
    logits = forward(plan, mx.array([8, 9]))
    forward.compute_saves()
    mx.eval(logits, forward.state())
    cached_bytes = forward._states.cached_bytes
    before = mx.get_active_memory()
    forward._states.apply(StepPlan(evicted_blocks=(0,)))
    assert before - mx.get_active_memory() == cached_bytes


@pytest.mark.parametrize("name", GROUPED)
def test_an_exported_block_can_be_continued_elsewhere(name: str) -> None:
    forward, other = grouped(name), grouped(name)
    exported = []
    for each in (forward, other):  # each has exported a block before anything is inserted
        run(each, span(0, 0, 8))
        each(StepPlan(saves=(BlockSave(0, Slot(64, 0), 0, 8, with_state=True),)), mx.zeros((0,)))
        each.compute_saves()
        exported.append(each.blocks.export(0))
    other.blocks.insert(5, exported[0])
    forward.blocks.drop([0])
    plan = StepPlan(loads=(BlockLoad((5,), Slot(64, 3)),), num_slots=((64, 4),))
    other(plan, mx.zeros((0,)))
    going_on = Span(9, Slot(64, 3), 8, (8, 9), 1, 0)
    logits = other(StepPlan(spans=(going_on,), num_slots=((64, 4),)), mx.array([8, 9]))
    assert mx.allclose(logits, plain_row(name, 0, 10)[None], atol=1e-3)
    assert forward._states.cached_bytes == 0


def a_start_from_the_state_before(patch: Patch) -> None:
    patch.setattr(StateStore, "empty", lambda self: next(iter(self._alone.values()), [None] * 8))


def rows_that_never_advance(patch: Patch) -> None:
    patch.setattr(StateStore, "put_rows", lambda self, state: None)


def rows_of_another_order(patch: Patch) -> None:
    original = StateStore.take_rows
    patch.setattr(StateStore, "take_rows", lambda self, slots: original(self, slots[::-1]))


def a_block_has_what_comes_later(patch: Patch) -> None:
    original = GroupedForward.compute_saves

    def compute_saves(self: GroupedForward) -> None:
        original(self)
        for block_id in self._states._cached:
            self._states._cached[block_id] = self._states.take(Slot(64, 1))

    patch.setattr(GroupedForward, "compute_saves", compute_saves)


def a_load_brings_no_state(patch: Patch) -> None:
    original = StateStore.take

    def take(self: StateStore, slot: Slot) -> State:
        return [None if array is None else mx.zeros_like(array) for array in original(self, slot)]

    patch.setattr(StateStore, "take", take)


BREAKS = [
    a_start_from_the_state_before,
    rows_that_never_advance,
    rows_of_another_order,
    a_block_has_what_comes_later,
    a_load_brings_no_state,
]


@pytest.mark.parametrize("name", ["lfm2", "mamba2"])
@pytest.mark.parametrize("broken", BREAKS, ids=lambda f: f.__name__)
def test_the_self_check_finds_a_broken_one(
    broken: Callable[[Patch], None], name: str, monkeypatch: Patch
) -> None:
    forward = grouped(name)
    broken(monkeypatch)
    with pytest.raises(SelfCheckError):
        check_forward(build_model(name), forward, VOCAB_SIZE, has_slots=True)
    assert forward.state() == []
