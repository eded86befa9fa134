"""Logprobs of prompts over tiny random models: mlx-lm's own, whatever else is in the batch."""

from __future__ import annotations

import mlx.core as mx
import numpy as np
import pytest

from api.engine.sequences.sequence import Sequence
from api.generator import BatchGenerator
from api.types import SamplingParams
from tests.engine.factories import Loop, create_sequence
from tests.engine.tiny_models import (
    CONFIGS,
    Sizes,
    build_plain_model,
    choose,
    create_mlx_loop,
    draw_tokens,
    gpu_like_platform,
    platform,
)

pytestmark = pytest.mark.usefixtures("tiny_classes")

TOLERANCE = 1e-4
NUM_TOP = 3


def scoring_sequence(number: int, num_prompt_tokens: int, max_tokens: int, **fields: int) -> Sequence:
    prompt = draw_tokens(num_prompt_tokens, seed=number)
    sampling = SamplingParams(temperature=0.0, num_prompt_logprobs=NUM_TOP)
    return create_sequence(number, max_tokens=max_tokens, prompt=prompt, sampling=sampling, **fields)


def check_scores(name: str, loop: Loop[BatchGenerator]) -> None:
    for key, sequence in loop.sequences.items():
        if sequence.sampling.num_prompt_logprobs is not None:
            check_prompt(name, sequence, loop, key)


def check_prompt(name: str, sequence: Sequence, loop: Loop[BatchGenerator], key: str) -> None:
    """Each token's logprob, rank and rivals are those of the plain model's log-softmax."""
    prompt = sequence.token_ids[: sequence.num_prompt_tokens]
    logits = build_plain_model(name)(mx.array([prompt]))[0].astype(mx.float32)
    expected = np.array(logits - mx.logsumexp(logits, axis=-1, keepdims=True))
    scored = loop.results[key].prompt_logprobs
    assert len(scored) == len(prompt) - 1
    for position, found in enumerate(scored):
        row, own = expected[position], prompt[position + 1]
        assert abs(found.logprob - row[own]) < TOLERANCE
        assert len(found.top) == NUM_TOP
        best = np.sort(row)[::-1][:NUM_TOP]
        assert np.allclose([value for _, value in found.top], best, atol=TOLERANCE)
        assert all(abs(row[token_id] - value) < TOLERANCE for token_id, value in found.top)
        num_better = np.sum(row > row[own] + TOLERANCE)
        assert num_better < found.rank <= np.sum(row >= row[own] - TOLERANCE)


def add_mixed(loop: Loop[BatchGenerator]) -> None:
    """Prompts to score among others that are only answered, with and without answers of their own."""
    for number, (num_prompt_tokens, max_tokens) in enumerate(
        ((1, 0), (2, 0), (30, 0), (45, 6), (3, 9), (90, 1)), start=1
    ):
        loop.add(scoring_sequence(number, num_prompt_tokens, max_tokens))
        loop.add(create_sequence(20 + number, 5 * number, max_tokens=12))
        loop.step()


@pytest.mark.parametrize("name", CONFIGS)
def test_scores_are_those_of_the_plain_model(name: str) -> None:
    loop = create_mlx_loop(choose(name)[0], platform(), Sizes())
    add_mixed(loop)
    loop.run()
    loop.check_idle()
    check_scores(name, loop)
    numbers = [len(loop.results[f"r{number}"].token_ids) for number in range(1, 7)]
    assert numbers == [0, 0, 0, 6, 9, 1]


@pytest.mark.parametrize("name", ["llama", "gemma3", "qwen3_next"])
def test_on_the_gpu_path(name: str) -> None:
    on = gpu_like_platform()
    loop = create_mlx_loop(choose(name, on=on)[0], on, Sizes())
    add_mixed(loop)
    loop.run()
    check_scores(name, loop)


@pytest.mark.parametrize("choice", ["flat", "padded"])
def test_after_preemption(choice: str) -> None:
    chosen, _ = choose("llama", "flat" if choice == "flat" else "padded")
    loop = create_mlx_loop(chosen, platform(), Sizes(budget_tokens=130, max_step_tokens=20))
    for number in range(1, 6):
        loop.add(scoring_sequence(number, 12 + 4 * number, 30))
    loop.run()
    assert loop.scheduler.stats().num_preemptions > 0
    check_scores("llama", loop)


@pytest.mark.parametrize("name", ["llama", "gemma3", "qwen3_next"])
def test_with_the_prompt_in_the_prefix_cache(name: str) -> None:
    sizes = Sizes(cached_tokens=1500, budget_tokens=4096)
    loop = create_mlx_loop(choose(name)[0], platform(), sizes)
    prompt = scoring_sequence(1, 60, 4).token_ids
    loop.add(create_sequence(9, prompt=prompt))
    loop.run()
    loop.add(scoring_sequence(1, 60, 4))
    loop.run()
    loop.add(create_sequence(10, prompt=prompt))
    loop.run()
    check_scores(name, loop)
    cached = [loop.results[f"r{number}"].num_cached_tokens for number in (9, 1, 10)]
    assert cached[:2] == [0, 0] and cached[2] > 0
    assert loop.results["r9"].token_ids == loop.results["r1"].token_ids == loop.results["r10"].token_ids
