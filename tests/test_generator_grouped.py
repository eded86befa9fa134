"""The grouped step under the scheduler: chunks and rows, moves, preemption, the prefix cache."""

from __future__ import annotations

import pytest

from tests.engine.factories import create_sequence
from tests.engine.tiny_models import (
    GROUPED,
    Sizes,
    check_tiny_greedy,
    choose,
    create_mlx_loop,
    draw_tokens,
    platform,
)

pytestmark = pytest.mark.usefixtures("tiny_classes")

BLOCK_TOKENS = 8
CACHED = Sizes(cached_tokens=1500, budget_tokens=4096, block_tokens=BLOCK_TOKENS)


@pytest.mark.parametrize("name", GROUPED)
@pytest.mark.parametrize("budget_states", [2, 40])
def test_many_sequences_in_much_and_little_memory(name: str, budget_states: int) -> None:
    sizes = Sizes(budget_tokens=40 * budget_states, budget_states=budget_states, context_length=80)
    loop = create_mlx_loop(choose(name)[0], platform(), sizes)
    prompts = [draw_tokens(1 + 7 * (i % 5), seed=i) for i in range(9)]
    for number, prompt in enumerate(prompts, 1):
        loop.add(create_sequence(number, max_tokens=6 + number, prompt=prompt))
    loop.run()
    loop.check_idle()
    for number, prompt in enumerate(prompts, 1):
        check_tiny_greedy(name, prompt, loop.results[f"r{number}"].token_ids, 6 + number)


@pytest.mark.device
@pytest.mark.parametrize("name", GROUPED)
def test_a_state_goes_along_when_slots_are_moved_together(name: str) -> None:
    loop = create_mlx_loop(choose(name)[0], platform(), Sizes(context_length=80))
    prompts = [draw_tokens(3, seed=i) for i in range(4)]
    lengths = [2, 3, 2, 20]
    for number, (prompt, max_tokens) in enumerate(zip(prompts, lengths, strict=True)):
        loop.add(create_sequence(number, max_tokens=max_tokens, prompt=prompt))
    loop.run()
    assert any(plan.compactions for plan in loop.plans)
    loop.check_idle()
    for number, (prompt, max_tokens) in enumerate(zip(prompts, lengths, strict=True)):
        check_tiny_greedy(name, prompt, loop.results[f"r{number}"].token_ids, max_tokens)


@pytest.mark.device
@pytest.mark.parametrize("name", GROUPED)
def test_a_conversation_goes_on_from_a_saved_state(name: str) -> None:
    loop = create_mlx_loop(choose(name)[0], platform(), CACHED)
    history = draw_tokens(21, seed=0)
    cached = []
    for turn in range(1, 6):
        loop.add(create_sequence(turn, max_tokens=11, prompt=history))
        loop.run()
        loop.check_idle()
        result = loop.results[f"r{turn}"]
        check_tiny_greedy(name, history, result.token_ids, 11)
        cached.append((result.num_cached_tokens, len(history)))
        history = history + result.token_ids + draw_tokens(9, seed=turn)
    assert cached[0][0] == 0
    for (num_cached, _), (_, num_before) in zip(cached[1:], cached, strict=False):
        assert num_cached >= num_before - 3 * BLOCK_TOKENS  # a state is saved at every second block


@pytest.mark.parametrize("name", GROUPED)
def test_a_prefix_that_many_share_is_prefilled_once(name: str) -> None:
    loop = create_mlx_loop(choose(name)[0], platform(), CACHED)
    shared = draw_tokens(64, seed=1)
    prompts = [shared + draw_tokens(3 + i, seed=10 + i) for i in range(4)]
    for number, prompt in enumerate(prompts, 1):
        loop.add(create_sequence(number, max_tokens=9, prompt=prompt))
    loop.run()
    loop.check_idle()
    cached = sorted(loop.results[f"r{number}"].num_cached_tokens for number in range(1, 5))
    assert cached == [0, 64, 64, 64]
    for number, prompt in enumerate(prompts, 1):
        check_tiny_greedy(name, prompt, loop.results[f"r{number}"].token_ids, 9)
