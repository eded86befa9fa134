"""The prefix cache over tiny random models: what is copied answers as what was computed."""

from __future__ import annotations

import pytest

from api.generator import BatchGenerator
from tests.engine.factories import Loop, create_sequence
from tests.engine.tiny_models import (
    FLAT,
    Sizes,
    check_tiny_greedy,
    choose,
    create_mlx_loop,
    draw_tokens,
    gpu_like_platform,
    platform,
)

pytestmark = pytest.mark.usefixtures("tiny_classes")

BLOCK_TOKENS = 8
SIZES = Sizes(cached_tokens=1500, budget_tokens=4096, block_tokens=BLOCK_TOKENS)


def check_turn(name: str, loop: Loop[BatchGenerator], prompt: list[int], number: int, max_tokens: int) -> int:
    """Runs one request to its end; returns how many of its prompt's tokens were cached."""
    loop.add(create_sequence(number, max_tokens=max_tokens, prompt=prompt))
    loop.run()
    loop.check_idle()
    result = loop.results[f"r{number}"]
    check_tiny_greedy(name, prompt, result.token_ids, max_tokens)
    return result.num_cached_tokens


@pytest.mark.device
@pytest.mark.parametrize("name", FLAT)
@pytest.mark.parametrize("device", ["cpu", "gpu"])
def test_each_turn_of_a_conversation_prefills_only_what_is_new(name: str, device: str) -> None:
    on = platform() if device == "cpu" else gpu_like_platform()
    loop = create_mlx_loop(choose(name, on=on)[0], on, SIZES)
    history = draw_tokens(21, seed=0)
    num_computed = 0
    for turn in range(1, 7):
        num_cached = check_turn(name, loop, history, turn, max_tokens=11 + turn)
        assert num_cached == num_computed // BLOCK_TOKENS * BLOCK_TOKENS
        history = history + loop.results[f"r{turn}"].token_ids
        num_computed = len(history) - 1  # the last token of an answer is never computed
        history += draw_tokens(5 + 9 * turn, seed=turn)
    assert len(history) > 200


@pytest.mark.parametrize("name", FLAT)
def test_a_prefix_that_many_wait_for_is_prefilled_once(name: str) -> None:
    loop = create_mlx_loop(choose(name)[0], platform(), SIZES)
    shared = draw_tokens(90, seed=1)
    prompts = [shared + draw_tokens(3 + i, seed=10 + i) for i in range(4)]
    for number, prompt in enumerate(prompts, 1):
        loop.add(create_sequence(number, max_tokens=9, prompt=prompt))
    loop.run()
    loop.check_idle()
    cached = [loop.results[f"r{number}"].num_cached_tokens for number in (1, 2, 3, 4)]
    assert sorted(cached) == [0, 88, 88, 88]
    for number, prompt in enumerate(prompts, 1):
        check_tiny_greedy(name, prompt, loop.results[f"r{number}"].token_ids, 9)


@pytest.mark.parametrize("name", ["llama", "gemma3"])
def test_with_little_memory_blocks_give_way_and_nothing_goes_wrong(name: str) -> None:
    sizes = Sizes(cached_tokens=150, budget_tokens=320, block_tokens=BLOCK_TOKENS)
    loop = create_mlx_loop(choose(name)[0], platform(), sizes)
    prompts = [draw_tokens(40, seed=i % 3) + draw_tokens(1 + 3 * i, seed=20 + i) for i in range(9)]
    for number, prompt in enumerate(prompts, 1):
        loop.add(create_sequence(number, max_tokens=20, prompt=prompt))
    loop.run()
    loop.check_idle()
    stats = loop.scheduler.stats()
    assert stats.num_preemptions and stats.prefix_cache.num_evicted_blocks
    assert stats.prefix_cache.num_hit_tokens
    for number, prompt in enumerate(prompts, 1):
        check_tiny_greedy(name, prompt, loop.results[f"r{number}"].token_ids, 20)
