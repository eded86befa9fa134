"""What a GPU runs, run here: the engine's choices for Metal and CUDA, in the precisions that GPUs get."""

from __future__ import annotations

import random
from functools import cache
from typing import Any
from unittest import mock

import mlx.core as mx
import mlx.nn as nn
import pytest

from api.engine.forward import model_package
from api.engine.forward.choosing.choose import ChosenForward, choose_forward
from api.engine.forward.model_package import class_finder, load_model_package
from api.generator import BatchGenerator
from api.types import SamplingParams
from benchmarks.device.correctness import judge
from benchmarks.device.random_model import build_random_model, plain_twin
from benchmarks.device.shapes import Precision
from tests.engine.factories import GREEDY, Loop, create_sequence
from tests.engine.fake_devices import CUDA, METAL, gpu_platform
from tests.engine.tiny_models import CONFIGS, VOCAB_SIZE, Sizes, create_mlx_loop, platform

pytestmark = [pytest.mark.device, pytest.mark.usefixtures("tiny_classes")]

NAMES = ("llama", "qwen3_moe", "gemma3", "gpt_oss", "qwen3_next", "lfm2", "mamba2")
FORWARDS = {name: "grouped" if name in ("qwen3_next", "lfm2", "mamba2") else "flat" for name in NAMES}
# MLX's CPU backend has no product of experts in half precision.
HAS_EXPERTS = {"qwen3_moe", "gpt_oss", "qwen3_next"}
KINDS: list[tuple[str, Precision]] = [(name, "4-bit") for name in NAMES]
KINDS += [(name, "bf16") for name in NAMES if name not in HAS_EXPERTS or not platform().is_cpu]
# (number of prompt tokens, answer tokens, step at which it comes)
REQUESTS = ((3, 14, 0), (45, 6, 0), (17, 12, 2), (60, 6, 4), (1, 10, 5), (9, 8, 8))


def config_of(name: str) -> dict[str, Any]:
    """Wide enough for groups of 64 weights."""
    wide = {"intermediate_size": 128, "moe_intermediate_size": 64, "shared_expert_intermediate_size": 64}
    config = CONFIGS[name]
    return config | {key: value for key, value in wide.items() if key in config}


@cache
def build(name: str, precision: Precision) -> tuple[nn.Module, nn.Module]:
    """The engine's model with the functions that GPUs get, and mlx-lm's own with the same weights."""
    with mock.patch.object(model_package, "_PACKAGE_NAME", "mlx_lm.gpu_models"):
        package = load_model_package(gpu_platform().model_functions)
    model = build_random_model(config_of(name), precision, class_finder(package))
    return model, plain_twin(model, config_of(name))


def choose(name: str, precision: Precision, info: dict[str, Any]) -> ChosenForward:
    lines: list[str] = []
    on = gpu_platform(info)
    model = build(name, precision)[0]
    return choose_forward(model, on, VOCAB_SIZE, 40, "auto", lines.append)


def create_prompts() -> list[list[int]]:
    draw = random.Random(4)
    return [[draw.randrange(VOCAB_SIZE) for _ in range(length)] for length, _, _ in REQUESTS]


def run(loop: Loop[BatchGenerator], sampling: SamplingParams) -> list[list[int]]:
    prompts = create_prompts()
    for step in range(1000):
        for number, (_, max_tokens, first) in enumerate(REQUESTS, 1):
            if first == step:
                sequence = create_sequence(
                    number, 0, max_tokens, prompt=prompts[number - 1], sampling=sampling
                )
                loop.add(sequence)
        if step > REQUESTS[-1][2] and not loop.scheduler.has_work:
            break
        loop.step()
    loop.check_idle()
    return [loop.results[f"r{number}"].token_ids for number in range(1, len(REQUESTS) + 1)]


@pytest.mark.parametrize(("name", "precision"), KINDS)
def test_greedy_answers_are_plain_mlx_lm_own(name: str, precision: Precision) -> None:
    chosen = choose(name, precision, METAL[0])
    assert chosen.forward.name == FORWARDS[name]
    answers = run(create_mlx_loop(chosen, gpu_platform(), Sizes(cached_tokens=400)), GREEDY)
    plain = build(name, precision)[1]
    for prompt, answer, (_, max_tokens, _) in zip(create_prompts(), answers, REQUESTS, strict=True):
        assert len(answer) == max_tokens
        judged = judge(plain, prompt, answer)
        assert judged.is_right, judged


@pytest.mark.parametrize("info", [METAL[0], CUDA[0]], ids=["metal", "cuda"])
@pytest.mark.parametrize("name", ["llama", "lfm2"])
def test_seeds_hold_beside_others(name: str, info: dict[str, Any]) -> None:
    """In float32 all but the last bits of a row's logits are the same, whoever its neighbours are."""
    sampling = SamplingParams(temperature=0.9, top_p=0.95, min_p=0.01, seed=11)
    chosen = choose(name, "bf16", info)
    together = run(create_mlx_loop(chosen, gpu_platform(info), Sizes()), sampling)
    again = run(create_mlx_loop(chosen, gpu_platform(info), Sizes()), sampling)
    assert together == again


def test_the_judge_sees_a_wrong_token() -> None:
    plain = build("llama", "bf16")[1]
    prompt = create_prompts()[1]
    logits = plain(mx.array([prompt]))[0, -1]
    best, worst = int(mx.argmax(logits).item()), int(mx.argmin(logits).item())
    assert judge(plain, prompt, [best]).num_best == 1
    assert not judge(plain, prompt, [worst]).is_right
