from __future__ import annotations

from typing import Any

import pytest
from mlx_lm.models.cache import ArraysCache, CacheList, ChunkedKVCache, KVCache, RotatingKVCache

from api.engine.forward.cache_kinds import (
    KVSpec,
    StateSpec,
    build_caches,
    describe_caches,
    kv_specs,
    state_specs,
)

MIXED = [KVCache(), CacheList(ArraysCache(2), RotatingKVCache(max_size=8)), ArraysCache(3)]


def test_a_window_is_that_of_the_rotating_cache() -> None:
    assert describe_caches([KVCache(), RotatingKVCache(max_size=8)]) == (KVSpec(None), KVSpec(8))


def test_recurrent_state_is_described_by_its_entries() -> None:
    assert describe_caches([ArraysCache(2)]) == (StateSpec(ArraysCache, 2),)


def test_a_list_of_caches_is_a_tuple_and_each_kind_counts_through() -> None:
    spec = describe_caches(MIXED)
    assert [leaf.window for leaf in kv_specs(spec)] == [None, 8]
    assert [leaf.size for leaf in state_specs(spec)] == [2, 3]
    built: list[Any] = build_caches(spec, lambda i: f"kv{i}", lambda i: f"state{i}")
    assert built == ["kv0", ("state0", "kv1"), "state1"]


def test_state_of_another_kind_is_refused_by_name() -> None:
    with pytest.raises(TypeError, match="ChunkedKVCache"):
        describe_caches([KVCache(), ChunkedKVCache(4)])


def test_tokens_kept_beside_the_window_are_refused() -> None:
    with pytest.raises(TypeError, match="first 4 tokens"):
        describe_caches([CacheList(RotatingKVCache(max_size=8, keep=4))])
