"""Caches over slots for models that do something of their own with what their cache gives them.

``update_and_fetch`` returns the slots' contents and ``make_mask`` a plain boolean mask, so the model's own
code runs as it does with mlx-lm's caches. That copies what the decode rows attend over, once a step.
"""

from __future__ import annotations

from typing import Any

import mlx.core as mx

from api.engine.forward.kv.layer import LayerKV
from api.engine.forward.kv.slot_array import SlotArray
from api.engine.forward.kv.store import KVStore
from api.engine.forward.layout import DecodeGroup
from api.engine.forward.step_context import StepContext
from api.step_plan import Span

# Rows attend over the longest of them, rounded up: shapes change seldom.
_LENGTH_STEP = 32


class PromptSlotCache:
    """The cache of one layer for the tokens of one span, ``[1, n]``."""

    def __init__(self, store: KVStore, kv: LayerKV, span: Span, window: int | None) -> None:
        self.offset = span.start
        self._store = store
        self._kv = kv
        self._slot = span.slot
        self._window = window
        # Some models read and replace these, to tie the one to the other.
        self.keys: Any = None
        self.values: Any = None

    def make_mask(self, n: int, return_array: bool = False, window_size: int | None = None) -> mx.array:
        """Boolean ``[n, offset + n]``."""
        rows, stored = mx.arange(self.offset, self.offset + n)[:, None], mx.arange(self.offset + n)[None]
        return _visible(rows, stored, window_size or self._window)

    def update_and_fetch(self, keys: mx.array, values: mx.array) -> tuple[mx.array, mx.array]:
        """Writes ``[1, kv_heads, n, D]``; returns all of the sequence, ``[1, kv_heads, offset + n, D]``."""
        _check(values)
        capacity = self._slot.capacity
        self._kv.ensure(capacity, self._store.num_slots[capacity], keys, values)
        self._kv.write_chunk(self._slot, self.offset, keys, values)
        pair = self._kv.read(self._slot, 0, self.offset + keys.shape[2])
        assert pair is not None, "nothing was written"
        self.keys, self.values = pair
        return pair


class RowsSlotCache:
    """The cache of one layer for single tokens of several sequences, ``[rows, 1]``."""

    def __init__(
        self, step: StepContext, store: KVStore, kv: LayerKV, window: int | None, mask_axes: int
    ) -> None:
        """``step`` is under way, with single rows alone.

        ``mask_axes``: the number of the axes of a mask; five where the model groups its query heads.
        """
        layout = step.layout
        # A copy: a model that keeps it would see it change otherwise.
        self.offset = layout.positions + 0
        self._store = store
        self._kv = kv
        self._step = step
        self._window = window
        self._length = _rounded(max(group.longest for group in layout.groups))
        self._mask_axes = mask_axes
        self.keys: Any = None
        self.values: Any = None

    def make_mask(self, n: int, return_array: bool = False, window_size: int | None = None) -> mx.array:
        """Boolean ``[rows, 1, .., 1, length]``."""
        rows, stored = self._step.layout.positions[:, None], mx.arange(self._length)[None]
        visible = _visible(rows, stored, window_size or self._window)
        return visible.reshape(rows.shape[0], *[1] * (self._mask_axes - 2), self._length)

    def update_and_fetch(self, keys: mx.array, values: mx.array) -> tuple[mx.array, mx.array]:
        """Writes ``[rows, kv_heads, 1, D]``; returns ``[rows, kv_heads, length, D]``: behind a row's own
        tokens lies anything."""
        _check(values)
        groups = self._step.layout.groups
        for group in groups:
            k, v = keys[group.rows], values[group.rows]
            self._kv.ensure(group.capacity, self._store.num_slots[group.capacity], k, v)
            self._kv.write_rows(group.capacity, group.places, k, v)
        self.keys = mx.concatenate([self._gather(self._kv.keys, g) for g in groups])
        self.values = mx.concatenate([self._gather(self._kv.values, g) for g in groups])
        return self.keys, self.values

    def _gather(self, arrays: dict[int, SlotArray], group: DecodeGroup) -> mx.array:
        stored = arrays[group.capacity][:, :, : self._length]
        rows = stored[: group.num_slots] if group.is_dense else stored[group.slots]
        missing = self._length - rows.shape[2]
        return mx.pad(rows, [(0, 0), (0, 0), (0, missing), (0, 0)]) if missing > 0 else rows


def _check(values: mx.array) -> None:
    """Raises TypeError for keys without values: MLX cannot write to arrays of no size."""
    if values.size == 0:
        raise TypeError("a layer keeps keys without values")


def _rounded(length: int) -> int:
    return -(-length // _LENGTH_STEP) * _LENGTH_STEP


def _visible(rows: mx.array, stored: mx.array, window: int | None) -> mx.array:
    visible = stored <= rows
    return visible if window is None else visible & (stored > rows - window)
