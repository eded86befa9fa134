"""The shapes of models that people run, and tiny ones of the same families for a CPU. Weights are random."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

Precision = Literal["bf16", "4-bit"]

BYTES_PER_WEIGHT: dict[Precision, float] = {
    "bf16": 2.0,
    "4-bit": 4.5 / 8,
}  # a scale and a bias for 64 weights
GROUP_SIZE = 64  # weights that share a scale


@dataclass(frozen=True, slots=True)
class Shape:
    """A model's configuration and its weights' precision."""

    name: str
    config: dict[str, Any]
    precision: Precision
    num_parameters: float
    # On a CPU the server widens weights to float32 where they fit; False: they stay as a GPU runs them.
    widens: bool = True

    @property
    def has_state(self) -> bool:
        """Whether some layers keep recurrent state instead of keys and values."""
        return self.config["model_type"] in ("lfm2", "qwen3_next")

    @property
    def has_experts(self) -> bool:
        return "num_experts" in self.config

    @property
    def weight_bytes(self) -> int:
        """About: a few small arrays are never quantised."""
        return int(self.num_parameters * BYTES_PER_WEIGHT[self.precision])


_QWEN3: dict[str, Any] = {
    "model_type": "qwen3",
    "head_dim": 128,
    "num_key_value_heads": 8,
    "rms_norm_eps": 1e-6,
    "rope_theta": 1e6,
    "vocab_size": 151_936,
    "max_position_embeddings": 40_960,
    "tie_word_embeddings": False,
}
_QWEN3_SMALL = _QWEN3 | {
    "hidden_size": 1024,
    "num_hidden_layers": 28,
    "intermediate_size": 3072,
    "num_attention_heads": 16,
    "tie_word_embeddings": True,
}
_QWEN3_8B = _QWEN3 | {
    "hidden_size": 4096,
    "num_hidden_layers": 36,
    "intermediate_size": 12_288,
    "num_attention_heads": 32,
}
_EXPERTS: dict[str, Any] = {
    "mlp_only_layers": [],
    "decoder_sparse_step": 1,
    "norm_topk_prob": True,
}
_QWEN3_MOE = (
    _QWEN3
    | _EXPERTS
    | {
        "model_type": "qwen3_moe",
        "hidden_size": 2048,
        "num_hidden_layers": 48,
        "intermediate_size": 6144,
        "num_attention_heads": 32,
        "num_key_value_heads": 4,
        "num_experts": 128,
        "num_experts_per_tok": 8,
        "moe_intermediate_size": 768,
    }
)
_QWEN3_NEXT = (
    _QWEN3
    | _EXPERTS
    | {
        "model_type": "qwen3_next",
        "hidden_size": 2048,
        "num_hidden_layers": 48,
        "intermediate_size": 5120,
        "num_attention_heads": 16,
        "num_key_value_heads": 2,
        "head_dim": 256,
        "rope_theta": 1e7,
        "partial_rotary_factor": 0.25,
        "num_experts": 512,
        "num_experts_per_tok": 10,
        "moe_intermediate_size": 512,
        "shared_expert_intermediate_size": 512,
        "linear_num_value_heads": 32,
        "linear_num_key_heads": 16,
        "linear_key_head_dim": 128,
        "linear_value_head_dim": 128,
        "linear_conv_kernel_dim": 4,
        "full_attention_interval": 4,
        "max_position_embeddings": 262_144,
    }
)
_LFM2: dict[str, Any] = {
    "model_type": "lfm2",
    "hidden_size": 2048,
    "num_hidden_layers": 16,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "norm_eps": 1e-5,
    "conv_bias": False,
    "conv_L_cache": 3,
    "block_dim": 2048,
    "block_ff_dim": 12_288,
    "block_multiple_of": 256,
    "block_ffn_dim_multiplier": 1.0,
    "block_auto_adjust_ff_dim": True,
    "full_attn_idxs": [2, 5, 8, 10, 12, 14],
    "rope_theta": 1e6,
    "vocab_size": 65_536,
    "max_position_embeddings": 128_000,
}

# What is worth knowing first comes first: time and memory may not be enough for all.
REAL: tuple[Shape, ...] = (
    Shape("qwen3-0.6b-4bit", _QWEN3_SMALL, "4-bit", 0.596e9),
    Shape("qwen3-8b-4bit", _QWEN3_8B, "4-bit", 8.19e9),
    Shape("lfm2-1.2b-bf16", _LFM2, "bf16", 1.17e9),
    Shape("qwen3-30b-a3b-4bit", _QWEN3_MOE, "4-bit", 30.5e9),
    Shape("qwen3-8b-bf16", _QWEN3_8B, "bf16", 8.19e9),
    Shape("qwen3-next-80b-a3b-4bit", _QWEN3_NEXT, "4-bit", 79.7e9),
    Shape("qwen3-0.6b-bf16", _QWEN3_SMALL, "bf16", 0.596e9),
    Shape("qwen3-30b-a3b-bf16", _QWEN3_MOE, "bf16", 30.5e9),
)

_TINY: dict[str, Any] = {
    "hidden_size": 128,
    "num_hidden_layers": 4,
    "intermediate_size": 256,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 64,
    "vocab_size": 4096,
    "max_position_embeddings": 4096,
}
# For those that a CPU runs in half precision, for which it has no fast product.
_TINIER = _TINY | {"hidden_size": 64, "num_hidden_layers": 2, "intermediate_size": 128, "head_dim": 32}
_TINIER |= {"vocab_size": 512}
_TINY_EXPERTS: dict[str, Any] = {
    "num_experts": 4,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 64,
    "shared_expert_intermediate_size": 64,
}
_TINY_NEXT = _QWEN3_NEXT | _TINIER | _TINY_EXPERTS | {"full_attention_interval": 2}
_TINY_NEXT |= {"linear_num_value_heads": 4, "linear_num_key_heads": 2}
_TINY_NEXT |= {"linear_key_head_dim": 32, "linear_value_head_dim": 32}
_TINY_LFM2 = _LFM2 | _TINIER | {"block_dim": 64, "block_ff_dim": 192, "block_multiple_of": 64}
_TINY_LFM2 |= {"full_attn_idxs": [1], "num_attention_heads": 2, "num_key_value_heads": 1}

TINY: tuple[Shape, ...] = (
    Shape("tiny-qwen3-bf16", _QWEN3_SMALL | _TINY, "bf16", 1.31e6),
    Shape("tiny-qwen3-4bit", _QWEN3_SMALL | _TINIER, "4-bit", 0.13e6, widens=False),
    Shape("tiny-qwen3-moe-4bit", _QWEN3_MOE | _TINIER | _TINY_EXPERTS, "4-bit", 0.21e6, widens=False),
    Shape("tiny-lfm2-bf16", _TINY_LFM2, "bf16", 0.11e6),
    Shape("tiny-qwen3-next-4bit", _TINY_NEXT, "4-bit", 0.25e6, widens=False),
)

SHAPES = {shape.name: shape for shape in (*REAL, *TINY)}
