"""Tiny random models, one for each kind of attention and state, and mlx-lm's word on them."""

from __future__ import annotations

import random
from collections.abc import Sequence as Items
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import mlx.core as mx
import mlx.nn as nn
import mlx_lm.utils
from mlx.utils import tree_map
from mlx_lm.generate import generate_step

from api.config import ForwardChoice
from api.engine.device.noise import device_noise
from api.engine.device.platform import Platform, detect_platform
from api.engine.forward.choosing.choose import ChosenForward, choose_forward
from api.engine.forward.model_package import class_finder, load_model_package
from api.engine.memory.account import BlockSizes, KVMemory
from api.engine.memory.block_cache import BlockCache
from api.engine.memory.prefix_cache import NoPrefixCache, PrefixCache
from api.engine.memory.sequence_memory import SequenceMemory
from api.engine.memory.slots import SlotPool
from api.engine.sampling.sampler import Sampler
from api.engine.scheduling.scheduler import Scheduler
from api.generator import BatchGenerator
from tests.engine.factories import Loop, create_budget
from tests.engine.fake_generator import FakeClock

VOCAB_SIZE = 100
WINDOW = 8

_BASE: dict[str, Any] = {
    "hidden_size": 64,
    "num_hidden_layers": 4,
    "intermediate_size": 128,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "rms_norm_eps": 1e-5,
    "vocab_size": VOCAB_SIZE,
    "head_dim": 16,
    "max_position_embeddings": 1000,
    "rope_theta": 10000.0,
}
_EXPERTS: dict[str, Any] = {
    "num_experts": 4,
    "num_experts_per_tok": 2,
    "decoder_sparse_step": 1,
    "moe_intermediate_size": 32,
    "norm_topk_prob": True,
    "tie_word_embeddings": False,
}

FLAT: dict[str, dict[str, Any]] = {
    "llama": {**_BASE, "model_type": "llama"},
    "qwen3": {**_BASE, "model_type": "qwen3", "tie_word_embeddings": True},
    "qwen3_moe": {**_BASE, **_EXPERTS, "model_type": "qwen3_moe", "mlp_only_layers": []},
    "gemma3": {
        "model_type": "gemma3",
        "vocab_size": VOCAB_SIZE,
        "text_config": {
            **_BASE,
            "model_type": "gemma3_text",
            "sliding_window": WINDOW,
            "sliding_window_pattern": 2,
        },
    },
    "gpt_oss": {
        **_BASE,
        "model_type": "gpt_oss",
        "num_local_experts": 4,
        "num_experts_per_tok": 2,
        "sliding_window": WINDOW,
        "layer_types": ["sliding_attention", "full_attention"] * 2,
        "rope_scaling": None,
    },
    "deepseek_v3": {
        **_BASE,
        "model_type": "deepseek_v3",
        "num_key_value_heads": 4,
        "moe_intermediate_size": 32,
        "kv_lora_rank": 16,
        "q_lora_rank": 16,
        "qk_rope_head_dim": 16,
        "v_head_dim": 16,
        "qk_nope_head_dim": 16,
        "n_routed_experts": 4,
        "n_shared_experts": 1,
        "num_experts_per_tok": 2,
        "n_group": 2,
        "topk_group": 1,
        "first_k_dense_replace": 1,
        "moe_layer_freq": 1,
        "topk_method": "noaux_tc",
        "scoring_func": "sigmoid",
        "norm_topk_prob": True,
        "routed_scaling_factor": 1.0,
        "rope_scaling": None,
        "attention_bias": False,
    },
}
GROUPED: dict[str, dict[str, Any]] = {
    "qwen3_next": {
        **_BASE,
        **_EXPERTS,
        "model_type": "qwen3_next",
        "mlp_only_layers": [0],
        "linear_num_value_heads": 4,
        "linear_num_key_heads": 4,
        "linear_key_head_dim": 32,
        "linear_value_head_dim": 32,
        "linear_conv_kernel_dim": 3,
        "shared_expert_intermediate_size": 32,
        "partial_rotary_factor": 0.5,
        "full_attention_interval": 2,
    },
    "mamba2": {
        "model_type": "mamba2",
        "num_heads": 8,
        "head_dim": 16,
        "vocab_size": VOCAB_SIZE,
        "hidden_size": 64,
        "intermediate_size": 128,
        "state_size": 32,
        "num_hidden_layers": 3,
        "layer_norm_epsilon": 1e-4,
        "conv_kernel": 3,
        "n_groups": 4,
        "use_bias": False,
        "use_conv_bias": False,
        "tie_word_embeddings": True,
        "time_step_limit": (0.01, 10),
        "time_step_rank": "auto",
    },
    "lfm2": {
        **_BASE,
        "model_type": "lfm2",
        "norm_eps": 1e-5,
        "conv_bias": False,
        "conv_L_cache": 4,
        "block_dim": 64,
        "block_ff_dim": 128,
        "block_multiple_of": 8,
        "block_ffn_dim_multiplier": 1.0,
        "block_auto_adjust_ff_dim": True,
        "layer_types": ["conv", "full_attention"] * 2,
    },
}
# Its positions are made by numpy, for one sequence.
PADDED: dict[str, dict[str, Any]] = {
    "gpt_bigcode": {
        "model_type": "gpt_bigcode",
        "n_embd": 64,
        "n_layer": 3,
        "n_inner": 128,
        "n_head": 4,
        "n_positions": 1000,
        "layer_norm_epsilon": 1e-5,
        "vocab_size": VOCAB_SIZE,
    },
}
CONFIGS = {**FLAT, **GROUPED, **PADDED}
# Randomly initialised layers hardly change what passes through them; at this scale a wrong position or
# a token too many in the attention shows in the logits.
_WEIGHT_SCALE = 2.0


@cache
def platform() -> Platform:
    return detect_platform()


def gpu_like_platform() -> Platform:
    """What Metal and CUDA run, on whatever device there is."""
    return replace(platform(), is_cpu=False, exp=mx.exp, noise=device_noise)


def build_model(name: str, **changes: Any) -> nn.Module:
    """A fresh model from the private package, the same weights each time; ``changes`` of its config."""
    config = CONFIGS[name] | changes
    model_class, args_class = class_finder(load_model_package(platform().model_functions))(config)
    mx.random.seed(0)
    model: nn.Module = model_class(args_class.from_dict(config))  # type: ignore[attr-defined]
    model.update(tree_map(lambda p: p * _WEIGHT_SCALE if p.ndim > 1 else p, model.parameters()))
    mx.eval(model.parameters())
    return model


@cache
def build_plain_model(name: str) -> nn.Module:
    """mlx-lm's own class with the same weights."""
    model_class, args_class = mlx_lm.utils._get_classes(CONFIGS[name])
    model: nn.Module = model_class(args_class.from_dict(CONFIGS[name]))
    model.update(build_model(name).parameters())
    return model


def choose(
    name: str, choice: ForwardChoice = "auto", *, max_step_tokens: int = 40, on: Platform | None = None
) -> tuple[ChosenForward, list[str]]:
    """The forward that a fresh model gets, and what was reported."""
    lines: list[str] = []
    chosen = choose_forward(
        build_model(name), on or platform(), VOCAB_SIZE, max_step_tokens, choice, lines.append
    )
    return chosen, lines


@dataclass(frozen=True, slots=True)
class Sizes:
    """Small on purpose: chunks, moves and waits all happen."""

    max_step_tokens: int = 40  # enough rows for the functions that large arrays get on a CPU
    max_batch_size: int = 4
    context_length: int = 512
    budget_tokens: int = 2048
    budget_states: int = 40  # beside the tokens, where a sequence has one
    cached_tokens: int = 0  # what the prefix cache may hold
    block_tokens: int = 8


def create_mlx_loop(chosen: ChosenForward, on: Platform, sizes: Sizes) -> Loop[BatchGenerator]:
    token_bytes = chosen.slot_bytes(2) - chosen.slot_bytes(1) or chosen.slot_bytes(1)
    memory = KVMemory(token_bytes * sizes.budget_tokens + chosen.state_bytes * sizes.budget_states)
    slots = SlotPool(memory, context_length=sizes.context_length, slot_bytes=chosen.slot_bytes)
    prefixes: PrefixCache = NoPrefixCache()
    if sizes.cached_tokens and chosen.has_slots:
        block_sizes = BlockSizes(
            sizes.block_tokens,
            kv_bytes=sizes.block_tokens * (chosen.slot_bytes(1) - chosen.state_bytes),
            state_bytes=chosen.state_bytes,
            state_stride_tokens=2 * sizes.block_tokens,
        )
        limit_bytes = token_bytes * sizes.cached_tokens + chosen.state_bytes * sizes.budget_states
        prefixes = BlockCache(memory, block_sizes, limit_bytes=limit_bytes)
    sequence_memory = SequenceMemory(slots, prefixes, can_copy=chosen.can_copy)
    made = Scheduler(sequence_memory, create_budget(sizes.max_step_tokens), sizes.max_batch_size, FakeClock())
    return Loop(made, sequence_memory, BatchGenerator(chosen.forward, Sampler(on)))


def draw_tokens(count: int, seed: int = 0) -> list[int]:
    draw = random.Random(seed)
    return [draw.randrange(VOCAB_SIZE) for _ in range(count)]


def draw_prompt(number: int, lengths: Items[int]) -> list[int]:
    """One of these lengths, the same for each number."""
    draw = random.Random(number)
    return [draw.randrange(VOCAB_SIZE) for _ in range(draw.choice(lengths))]


def greedy_answer(model: nn.Module, prompt: Items[int], num_tokens: int) -> list[int]:
    """mlx-lm's own generation, alone, with its own caches."""
    steps = generate_step(mx.array(list(prompt)), model, max_tokens=num_tokens)
    return [int(token_id) for token_id, _ in steps]


@cache
def tiny_greedy_answer(name: str, prompt: tuple[int, ...], num_tokens: int) -> list[int]:
    return greedy_answer(build_plain_model(name), prompt, num_tokens)


def check_tiny_greedy(name: str, prompt: Items[int], answer: Items[int], num_tokens: int) -> None:
    """``check_greedy`` of a whole answer against the plain model's own one."""
    assert len(answer) == num_tokens
    expected = tiny_greedy_answer(name, tuple(prompt), num_tokens)
    check_greedy(build_plain_model(name), prompt, answer, expected)


def check_greedy(
    model: nn.Module, prompt: Items[int], answer: Items[int], expected: Items[int], near_tie: float = 1e-4
) -> None:
    """Raises AssertionError where ``answer`` is not the beginning of mlx-lm's ``expected`` one.

    The two may part at a token whose logit is closer than ``near_tie`` to the best: there the order of
    additions decides, and what follows cannot be compared.
    """
    pairs = enumerate(zip(answer, expected, strict=False))
    parting = next((i for i, (ours, theirs) in pairs if ours != theirs), None)
    if parting is None:
        assert len(answer) <= len(expected)
        return
    logits = model(mx.array([[*prompt, *expected[:parting]]]))[0, -1]
    gap = float((logits[expected[parting]] - logits[answer[parting]]).item())
    assert abs(gap) < near_tie, f"token {parting}: {answer[parting]}, not {expected[parting]} (by {gap:.2g})"
