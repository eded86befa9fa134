from __future__ import annotations

import pytest
from mlx_lm.models.cache import ArraysCache, KVCache, RotatingKVCache

from api.engine.forward.caches import attention_windows


def test_a_window_is_that_of_the_rotating_cache() -> None:
    assert attention_windows([KVCache(), RotatingKVCache(max_size=8)]) == [None, 8]


def test_state_that_is_no_kv_is_refused_by_name() -> None:
    with pytest.raises(TypeError, match="ArraysCache"):
        attention_windows([KVCache(), ArraysCache(2)])


def test_tokens_kept_beside_the_window_are_refused() -> None:
    with pytest.raises(TypeError, match="first 4 tokens"):
        attention_windows([RotatingKVCache(max_size=8, keep=4)])
