"""The engine's account of bytes against MLX's own: they agree whenever no step is under way."""

from __future__ import annotations

import gc
import random
from collections.abc import Iterator

import mlx.core as mx
import pytest

from api.generator import BatchGenerator
from tests.engine.factories import Loop, create_sequence, tiny_slot_classes
from tests.engine.tiny_models import FLAT, VOCAB_SIZE, Sizes, choose, create_mlx_loop, platform

# Token ids, positions and masks of the newest step, which the generator may still hold.
SMALL_CHANGE_BYTES = 4096


@pytest.fixture(autouse=True, scope="module")
def _tiny_classes() -> Iterator[None]:
    """And no buffer is reused: MLX takes a freed one that is two pages larger for small arrays."""
    before = mx.set_cache_limit(0)
    with tiny_slot_classes():
        yield
    mx.set_cache_limit(before)


def storm(loop: Loop[BatchGenerator], seed: int) -> None:
    """Requests that want many times the memory there is, some of which are cancelled midway."""
    draw = random.Random(seed)
    first = len(loop.results) + 1
    for number in range(first, first + 30):
        prompt = [draw.randrange(3) for _ in range(draw.randrange(1, 6) * 8)]
        prompt += [draw.randrange(VOCAB_SIZE) for _ in range(draw.randrange(1, 30))]
        loop.add(create_sequence(number, max_tokens=draw.randrange(1, 40), prompt=prompt))
    while loop.scheduler.has_work:
        loop.step()
        if draw.random() < 0.05:
            loop.cancel(f"r{draw.randrange(first, first + 30)}")


@pytest.mark.parametrize("name", ["llama", "gemma3", "gpt_oss"])
@pytest.mark.parametrize("cached_tokens", [0, 120])
def test_after_a_storm_the_device_holds_what_the_account_says(name: str, cached_tokens: int) -> None:
    assert name in FLAT
    chosen, _ = choose(name)
    sizes = Sizes(budget_tokens=300, cached_tokens=cached_tokens, block_tokens=8)
    loop = create_mlx_loop(chosen, platform(), sizes)
    storm(loop, seed=0)  # whatever is made once is made by now
    for seed in (1, 2, 3):
        before_bytes, before = active_bytes(), loop.scheduler.stats()
        storm(loop, seed)
        loop.check_idle()
        after = loop.scheduler.stats()
        grown_bytes = after.prefix_cache.used_bytes - before.prefix_cache.used_bytes
        assert abs(active_bytes() - before_bytes - grown_bytes) <= SMALL_CHANGE_BYTES
        assert (after.kv_reserved_bytes, after.kv_used_bytes) == (0, 0)
    assert loop.scheduler.stats().num_preemptions
    loop.generator.reset()
    loop.memory.clear()
    held_bytes = after.prefix_cache.used_bytes
    assert abs(before_bytes + grown_bytes - active_bytes() - held_bytes) <= SMALL_CHANGE_BYTES


def active_bytes() -> int:
    gc.collect()
    return int(mx.get_active_memory())
