"""How the attention layers of a grouped step see their slots: in the rows' forward and in a prompt's own."""

from __future__ import annotations

from typing import Any, Protocol

import mlx.core as mx

from api.engine.forward.attention.attention import Attention
from api.engine.forward.flat import FlatLayer, FlatMask
from api.engine.forward.kv.store import KVStore
from api.engine.forward.latent import LatentLayer, latent_attention
from api.engine.forward.slot_caches import PromptSlotCache, RowsSlotCache
from api.engine.forward.step_context import StepContext
from api.step_plan import Span

Windows = list[int | None]


class KVViews(Protocol):
    """Makes the cache-like object of one layer for the forward that is under way."""

    def rows(self, layer: int) -> Any:
        """For ``[rows, 1]``: single tokens of several sequences."""

    def prompt(self, layer: int, span: Span) -> Any:
        """For ``[1, n]``: some tokens of one sequence."""


class PromptLayer:
    """A ``FlatLayer`` for a forward ``[1, n]``: what it gets and gives back is turned on its side."""

    def __init__(self, layer: FlatLayer, offset: int) -> None:
        self.offset = offset
        self._layer = layer

    def make_mask(self, n: int, return_array: bool = False, window_size: int | None = None) -> FlatMask:
        return FlatMask(window_size)

    def update_and_fetch(self, keys: mx.array, values: mx.array) -> tuple[mx.array, mx.array]:
        return keys, values

    def attend(
        self, queries: mx.array, keys: mx.array, values: mx.array, scale: float, mask: Any, sinks: Any
    ) -> mx.array:
        """``queries [1, heads, n, D]``; returns ``[1, heads, n, Dv]``."""
        q, k, v = (array.transpose(2, 1, 0, 3) for array in (queries, keys, values))
        return self._layer.attend(q, k, v, scale, mask, sinks).transpose(2, 1, 0, 3)


class AttendingViews:
    """For models that leave attention to ``scaled_dot_product_attention``."""

    def __init__(self, step: StepContext, store: KVStore, windows: Windows, attention: Attention) -> None:
        self._layers = [
            FlatLayer(step, store, kv, attention, window)
            for kv, window in zip(store.layers, windows, strict=True)
        ]

    def rows(self, layer: int) -> FlatLayer:
        return self._layers[layer]

    def prompt(self, layer: int, span: Span) -> PromptLayer:
        return PromptLayer(self._layers[layer], span.start)


class SlotCacheViews:
    """For models that do something of their own with what the cache returns."""

    def __init__(self, step: StepContext, store: KVStore, windows: Windows, row_mask_axes: int = 4) -> None:
        self._step = step
        self._store = store
        self._windows = windows
        self._row_mask_axes = row_mask_axes

    def rows(self, layer: int) -> Any:
        kv, window = self._store.layers[layer], self._windows[layer]
        return RowsSlotCache(self._step, self._store, kv, window, self._row_mask_axes)

    def prompt(self, layer: int, span: Span) -> PromptSlotCache:
        return PromptSlotCache(self._store, self._store.layers[layer], span, self._windows[layer])


class LatentViews(SlotCacheViews):
    """For models that attend over latents where there is one token in a row, and unfold them otherwise."""

    def __init__(self, step: StepContext, store: KVStore, windows: Windows) -> None:
        super().__init__(step, store, windows)
        self._layers = [
            LatentLayer(step, store, kv, latent_attention, window)
            for kv, window in zip(store.layers, windows, strict=True)
        ]

    def rows(self, layer: int) -> LatentLayer:
        return self._layers[layer]
