"""The flat step: one forward over a list of tokens, each a batch row of length one.

The model sees ``[rows, 1]``. Linear layers, norms, rope (with one offset for each row) and experts work
on rows; only attention has to know which rows belong together, and that is ``FlatLayer.attend``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import mlx.core as mx
import mlx.nn as nn

from api.engine.forward.attention.attention import Attention
from api.engine.forward.compiled_steps import CompiledSteps
from api.engine.forward.kv.block_store import BlockStore
from api.engine.forward.kv.layer import LayerKV
from api.engine.forward.kv.slot_array import KVFormat, SlotArray
from api.engine.forward.kv.store import KVStore
from api.engine.forward.layout import ChunkRows, DecodeGroup, StepLayout, make_layout
from api.engine.forward.step_context import StepContext
from api.step_plan import StepPlan

# Blocks of so many tokens at most are saved when at most so many tokens behind them are written.
_LONGEST_BLOCK_TOKENS = 64
_LATEST_SAVE_TOKENS = 192


@dataclass(frozen=True, slots=True)
class FlatMask:
    """What ``make_mask`` hands to the layers: only the window; the rest is in the step's context."""

    window: int | None


class FlatLayer:
    """The cache-like object that a layer of an mlx-lm model gets."""

    def __init__(
        self, step: StepContext, store: KVStore, kv: LayerKV, attention: Attention, window: int | None
    ) -> None:
        self._step = step
        self._store = store
        self._kv = kv
        self._attention = attention
        self._window = window  # of the model's own cache for this layer

    @property
    def offset(self) -> mx.array:
        """Positions, one for each row."""
        return self._step.layout.positions

    def make_mask(self, n: int, return_array: bool = False, window_size: int | None = None) -> FlatMask:
        return FlatMask(window_size)

    def update_and_fetch(self, keys: mx.array, values: mx.array) -> tuple[mx.array, mx.array]:
        return keys, values

    def attend(
        self,
        queries: mx.array,
        keys: mx.array,
        values: mx.array,
        scale: float,
        mask: FlatMask | None,
        sinks: mx.array | None,
    ) -> mx.array:
        """``queries [rows, heads, 1, D]`` over the slots; returns ``[rows, heads, 1, Dv]``.

        Raises TypeError for a mask that is not ours, which fails the self-check.
        """
        if not isinstance(mask, FlatMask | None):
            raise TypeError(f"the model changed its attention mask into {type(mask).__name__}")
        window = self._window if mask is None or mask.window is None else mask.window
        self._write(keys, values)
        layout = self._step.layout
        outputs = [self._attend_group(g, queries[g.rows], scale, window, sinks) for g in layout.groups]
        outputs += [self._attend_chunk(c, queries[c.rows], scale, window, sinks) for c in layout.chunks]
        if layout.num_padding:
            outputs.append(mx.zeros((layout.num_padding, *outputs[0].shape[1:]), dtype=outputs[0].dtype))
        return outputs[0] if len(outputs) == 1 else mx.concatenate(outputs)

    def _write(self, keys: mx.array, values: mx.array) -> None:
        """All writes of the layer, before its first read (see ``LayerKV``)."""
        layout = self._step.layout
        for group in layout.groups:
            k, v = keys[group.rows], values[group.rows]
            self._kv.ensure(group.capacity, self._store.num_slots[group.capacity], k, v)
            self._kv.write_rows(group.capacity, group.places, k, v)
        for chunk in layout.chunks:
            k = keys[chunk.rows].transpose(2, 1, 0, 3)
            v = values[chunk.rows].transpose(2, 1, 0, 3)
            self._kv.ensure(chunk.slot.capacity, self._store.num_slots[chunk.slot.capacity], k, v)
            self._kv.write_chunk(chunk.slot, chunk.start, k, v)

    def _attend_group(
        self, group: DecodeGroup, queries: mx.array, scale: float, window: int | None, sinks: mx.array | None
    ) -> mx.array:
        ring = self._kv.ring(group.capacity)
        length = group.length(ring)
        keys = self._kv.keys[group.capacity][: group.num_slots, :, :length]
        values = self._kv.values[group.capacity][: group.num_slots, :, :length]
        if not group.is_dense:
            queries = queries[group.row_of_slot]
        out = self._attention(queries, keys, values, scale, group.mask(window, ring), sinks)
        return out if group.is_dense else out[group.slots]

    def _attend_chunk(
        self, chunk: ChunkRows, queries: mx.array, scale: float, window: int | None, sinks: mx.array | None
    ) -> mx.array:
        capacity, index = chunk.slot.capacity, chunk.slot.index
        outputs = []
        for tile in chunk.tiles(window, self._kv.ring(capacity)):
            keys = _parts(self._kv.keys[capacity], index, tile.stored)
            values = _parts(self._kv.values[capacity], index, tile.stored)
            q = queries[tile.rows].transpose(2, 1, 0, 3)
            out = self._attention(q, keys, values, scale, tile.mask, sinks)
            outputs.append(out.transpose(2, 1, 0, 3))
        return outputs[0] if len(outputs) == 1 else mx.concatenate(outputs)


def _parts(array: SlotArray, slot: int, parts: tuple[slice, ...]) -> mx.array:
    """``[1, kv_heads, tokens, D]`` of a class's array; a copy only where a ring wraps between them."""
    found = [array[slot : slot + 1, :, part] for part in parts]
    return found[0] if len(found) == 1 else mx.concatenate(found, axis=2)


def make_store(windows: Iterable[int | None], max_chunk_tokens: int) -> KVStore:
    """Slots for layers with these windows, None for those that see everything.

    A windowed layer keeps the window and one chunk, which is written before its first row looks, and a
    little more: blocks are saved somewhat later than they are written.
    """
    kept_tokens = max_chunk_tokens + _LATEST_SAVE_TOKENS + _LONGEST_BLOCK_TOKENS
    return KVStore(None if window is None else window + kept_tokens for window in windows)


class FlatForward:
    """``Forward`` by the flat step, for models whose only state is attention's KV."""

    name = "flat"

    def __init__(
        self,
        model: nn.Module,
        windows: list[int | None],
        attention: Attention,
        step: StepContext,
        max_chunk_tokens: int,
        row_multiple: int = 1,
        layer_class: type[FlatLayer] = FlatLayer,
        nest: Callable[[list[FlatLayer]], Sequence[Any]] = list,
    ) -> None:
        """``windows``: one entry for each attention cache, the tokens it sees or None for all.

        ``step``: the model's, which no other forward uses at the same time.

        ``row_multiple``: forwards are filled up to a multiple of this many rows.
        ``nest`` puts the layers in the places of the model's own caches.
        """
        self._model = model
        self._store = make_store(windows, max_chunk_tokens)
        self._step = step
        self.row_multiple = row_multiple
        self.is_compiled = False  # whether steps of single rows are replayed from traces
        self.compiled = CompiledSteps(self._forward, self._store)
        layers = [
            layer_class(step, self._store, kv, attention, window)
            for kv, window in zip(self._store.layers, windows, strict=True)
        ]
        self._caches = nest(layers)

    def __call__(self, plan: StepPlan, token_ids: mx.array) -> mx.array:
        self._store.apply(plan)
        if not plan.spans:
            return mx.zeros((0, 1))
        layout = make_layout(plan, self.row_multiple, self.is_compiled)
        if layout.num_padding:
            token_ids = mx.pad(token_ids, (0, layout.num_padding))
        run = self._forward if layout.chunks or not self.is_compiled else self.compiled
        return run(layout, token_ids)

    def compute_saves(self) -> None:
        self._store.compute_saves()

    def state(self) -> list[mx.array]:
        return self._store.arrays()

    @property
    def blocks(self) -> BlockStore:
        return self._store.blocks

    @property
    def store(self) -> KVStore:
        return self._store

    def slot_bytes(self) -> Callable[[int], int]:
        """``capacity -> bytes`` of one slot over all layers; call while every layer has been written."""
        rates = [(layer.ring, layer.bytes_per_token()) for layer in self._store.layers]
        return lambda capacity: sum(ring(capacity) * rate for ring, rate in rates)

    def use(self, kv_format: KVFormat) -> None:
        """Stores keys and values in this form; call before the first step or after ``reset``."""
        self._store.use(kv_format)
        self.compiled.clear()

    def reset(self) -> None:
        self._store.clear()

    def _forward(self, layout: StepLayout, token_ids: mx.array) -> mx.array:
        with self._step.running(layout, layout.selected):
            logits: mx.array = self._model(token_ids[:, None], cache=self._caches)
        if self._step.is_selected_by_backbone:
            return logits[: layout.num_selected, -1]
        return logits[layout.selected[: layout.num_selected], -1]
