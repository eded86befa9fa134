"""What a model's own caches say about it."""

from __future__ import annotations

from typing import Any

import mlx.nn as nn


def make_caches(model: nn.Module) -> list[Any]:
    """mlx-lm's caches for one sequence, from the model or one plain KV cache for each layer."""
    if hasattr(model, "make_cache"):
        return list(model.make_cache())
    from mlx_lm.models.cache import KVCache

    return [KVCache() for _ in model.layers]


def attention_windows(caches: list[Any]) -> list[int | None]:
    """The window of each layer, None for a layer that sees everything.

    Raises TypeError for a cache that holds more than keys and values, or keeps the first tokens for ever.
    """
    windows: list[int | None] = []
    for cache in caches:
        kind = type(cache).__name__
        if kind not in ("KVCache", "RotatingKVCache"):
            raise TypeError(f"a layer keeps its state in a {kind}")
        if getattr(cache, "keep", 0):
            raise TypeError(f"a layer keeps its first {cache.keep} tokens beside its window")
        windows.append(cache.max_size if kind == "RotatingKVCache" else None)
    return windows
