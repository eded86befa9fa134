"""Several answers to one prompt over tiny random models: copies of KV change no token."""

from __future__ import annotations

import pytest

from api.config import ForwardChoice
from api.types import SamplingParams
from tests.engine.factories import GREEDY, Loop, create_sequence, result_key
from tests.engine.tiny_models import (
    FLAT,
    Sizes,
    check_tiny_greedy,
    choose,
    create_mlx_loop,
    draw_tokens,
    platform,
)

pytestmark = pytest.mark.usefixtures("tiny_classes")

NUM_ANSWER_TOKENS = 30


def add_choices(
    loop: Loop, number: int, prompt: list[int], num_choices: int, sampling: SamplingParams = GREEDY
) -> None:
    for index in range(num_choices):
        sequence_id = number * 100 + index
        loop.add(
            create_sequence(
                sequence_id,
                max_tokens=NUM_ANSWER_TOKENS,
                prompt=prompt,
                sampling=sampling,
                request_number=number,
                choice_index=index,
            )
        )


def num_rows(loop: Loop, sequence_id: int) -> int:
    """Prompt rows that a sequence had."""
    spans = [s for plan in loop.plans for s in plan.spans if s.sequence_id == sequence_id]
    return sum(s.num_tokens for s in spans if s.sample_index == 0)


CHOICES = [*((name, "auto") for name in (*FLAT, "deepseek_v3", "qwen3_next")), ("llama", "grouped")]


@pytest.mark.parametrize(("name", "forward"), CHOICES)
def test_every_choice_is_mlx_lm_own_greedy_answer(name: str, forward: ForwardChoice) -> None:
    """Prompts longer than the windows, siblings that come late, another request between them."""
    chosen, _ = choose(name, forward)
    loop = create_mlx_loop(chosen, platform(), Sizes(max_batch_size=4))
    prompts = {1: draw_tokens(70, 1), 2: draw_tokens(9, 2)}
    add_choices(loop, 1, prompts[1], 4)
    add_choices(loop, 2, prompts[2], 2)
    loop.run()
    loop.check_idle()
    for number, num_choices in ((1, 4), (2, 2)):
        for index in range(num_choices):
            answer = loop.results[result_key(f"r{number}", index)].token_ids
            check_tiny_greedy(name, prompts[number], answer, NUM_ANSWER_TOKENS)
    assert num_rows(loop, 101) == (1 if chosen.can_copy else 70)


def test_seeded_choices_are_the_same_with_and_without_a_copy() -> None:
    def run(can_copy: bool) -> list[list[int]]:
        chosen, _ = choose("llama")
        loop = create_mlx_loop(chosen, platform(), Sizes())
        loop.scheduler._can_copy = can_copy
        add_choices(loop, 1, draw_tokens(40, 3), 3, SamplingParams(temperature=1.0, seed=7))
        loop.run()
        return [result.token_ids for result in loop.results.values()]

    assert run(True) == run(False)
