"""What a model's own caches say about it: a description of each, in the model's order and nesting."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import mlx.nn as nn


@dataclass(frozen=True, slots=True)
class KVSpec:
    """Keys and values of attention. ``window``: the tokens that are seen, None for all."""

    window: int | None = None


@dataclass(frozen=True, slots=True)
class StateSpec:
    """Recurrent state: ``size`` arrays in an mlx-lm ``ArraysCache``, built by ``kind(size)``."""

    kind: type
    size: int


CacheSpec = KVSpec | StateSpec | tuple["CacheSpec", ...]  # a tuple where one layer has several


def make_caches(model: nn.Module) -> list[Any]:
    """mlx-lm's caches for one sequence, from the model or one plain KV cache for each layer."""
    if hasattr(model, "make_cache"):
        return list(model.make_cache())
    from mlx_lm.models.cache import KVCache

    return [KVCache() for _ in model.layers]


def describe_caches(caches: list[Any]) -> tuple[CacheSpec, ...]:
    """Raises TypeError for a cache that is neither, or keeps the first tokens for ever."""
    return tuple(_describe(cache) for cache in caches)


def kv_specs(spec: CacheSpec) -> list[KVSpec]:
    """The attention caches in order."""
    return [leaf for leaf in _leaves(spec) if isinstance(leaf, KVSpec)]


def state_specs(spec: CacheSpec) -> list[StateSpec]:
    """The recurrent caches in order."""
    return [leaf for leaf in _leaves(spec) if isinstance(leaf, StateSpec)]


def build_caches(
    spec: tuple[CacheSpec, ...], make_kv: Callable[[int], Any], make_state: Callable[[int], Any]
) -> list[Any]:
    """Objects in the places of the caches; each maker gets the number of its cache among its kind."""
    kv, state = iter(range(len(kv_specs(spec)))), iter(range(len(state_specs(spec))))

    def build(part: CacheSpec) -> Any:
        if isinstance(part, tuple):
            return tuple(build(each) for each in part)
        return make_kv(next(kv)) if isinstance(part, KVSpec) else make_state(next(state))

    return [build(part) for part in spec]


def _leaves(spec: CacheSpec) -> Iterator[KVSpec | StateSpec]:
    if isinstance(spec, tuple):
        for part in spec:
            yield from _leaves(part)
    else:
        yield spec


def _describe(cache: Any) -> CacheSpec:
    kind = type(cache).__name__
    if kind == "CacheList":
        return tuple(_describe(each) for each in cache.caches)
    if kind == "ArraysCache":
        return StateSpec(type(cache), len(cache.cache))
    if kind not in ("KVCache", "RotatingKVCache"):
        raise TypeError(f"a layer keeps its state in a {kind}")
    if getattr(cache, "keep", 0):
        raise TypeError(f"a layer keeps its first {cache.keep} tokens beside its window")
    return KVSpec(cache.max_size if kind == "RotatingKVCache" else None)
