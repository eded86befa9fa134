"""A model's configuration from GGUF metadata, in the words of mlx-lm's config.json."""

from __future__ import annotations

import math
from typing import Any

from api.engine.loading.gguf.header import GgufHeader
from api.errors import StartupError

# GGUF architecture: mlx-lm model type. All three are a llama but for biases, norms and the order of rope.
MODEL_TYPES = {"llama": "llama", "qwen2": "qwen2", "qwen3": "qwen3"}

# What MLX can read: packed (the first three) or by way of float16.
_READABLE_TYPES = frozenset({"Q4_0", "Q4_1", "Q8_0", "F32", "F16", "BF16", "Q2_K", "Q4_K", "Q6_K"})

# Tokens that end an answer in one chat format or another, whatever the file's one eos id says.
_END_TOKENS = frozenset(
    {"<|im_end|>", "<|eot_id|>", "<|eom_id|>", "<|end|>", "<|endoftext|>", "<|end_of_text|>", "<end_of_turn>"}
)
_CONTROL_TOKEN = 3
_LLAMA3_ROPE = {"low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 8192}


def config_from_header(header: GgufHeader) -> dict[str, Any]:
    """Returns config.json's content. Raises StartupError for an architecture that cannot be served."""
    keys = _Keys(header)
    _check_supported(header, keys)
    num_heads = keys.integer("attention.head_count")
    hidden_size = keys.integer("embedding_length")
    config: dict[str, Any] = {
        "model_type": MODEL_TYPES[keys.architecture],
        "hidden_size": hidden_size,
        "num_hidden_layers": keys.integer("block_count"),
        "intermediate_size": keys.integer("feed_forward_length"),
        "num_attention_heads": num_heads,
        "num_key_value_heads": keys.integer("attention.head_count_kv", num_heads),
        "head_dim": keys.integer("attention.key_length", hidden_size // num_heads),
        "rms_norm_eps": keys.number("attention.layer_norm_rms_epsilon"),
        "rope_theta": keys.number("rope.freq_base", 10_000.0),
        "max_position_embeddings": keys.integer("context_length"),
        "vocab_size": header.tensors["token_embd.weight"].shape[0],
        "tie_word_embeddings": "output.weight" not in header.tensors,
        "eos_token_id": end_token_ids(header),
    }
    if (bos := header.metadata.get("tokenizer.ggml.bos_token_id")) is not None:
        config["bos_token_id"] = bos
    if keys.architecture == "llama":
        config["attention_bias"] = "blk.0.attn_q.bias" in header.tensors
    if (scaling := _rope_scaling(header, keys, config)) is not None:
        config["rope_scaling"] = scaling
    return config


def end_token_ids(header: GgufHeader) -> list[int]:
    """Returns the ids of all tokens that end an answer, ascending."""
    metadata = header.metadata
    named = (metadata.get(f"tokenizer.ggml.{kind}_token_id") for kind in ("eos", "eot", "eom"))
    ids = {token_id for token_id in named if token_id is not None}
    tokens, types = (metadata.get(f"tokenizer.ggml.{part}", []) for part in ("tokens", "token_type"))
    for token_id, (token, kind) in enumerate(zip(tokens, types, strict=False)):
        if kind == _CONTROL_TOKEN and token in _END_TOKENS:
            ids.add(token_id)
    return sorted(ids)


class _Keys:
    """Metadata of the file's architecture, typed; a missing or odd one raises StartupError."""

    def __init__(self, header: GgufHeader) -> None:
        self.header = header
        self.architecture = str(header.metadata.get("general.architecture", "unknown"))

    def get(self, name: str) -> Any:
        return self.header.metadata.get(f"{self.architecture}.{name}")

    def number(self, name: str, default: float | None = None) -> float:
        value = self.get(name)
        value = default if value is None else value
        if not isinstance(value, int | float) or not 0 < value < math.inf:
            raise StartupError(f"{self.header.path} is damaged: {self.architecture}.{name} is {value!r}")
        return float(value)

    def integer(self, name: str, default: int | None = None) -> int:
        return int(self.number(name, default))


def _check_supported(header: GgufHeader, keys: _Keys) -> None:
    if keys.architecture not in MODEL_TYPES:
        raise StartupError(
            f"{header.path.name}: GGUF architecture {keys.architecture!r} is not supported "
            f"(supported: {', '.join(MODEL_TYPES)}); use the model in MLX format instead"
        )
    if keys.get("expert_count"):
        raise StartupError(f"{header.path.name}: a mixture of experts must be in MLX format, not GGUF")
    if "token_embd.weight" not in header.tensors:
        raise StartupError(f"{header.path} is damaged: it has no token embeddings")
    for tensor in header.tensors.values():
        if tensor.type_name not in _READABLE_TYPES:
            raise StartupError(
                f"{header.path.name}: tensors quantised as {tensor.type_name} are not supported "
                f"(supported: {', '.join(sorted(_READABLE_TYPES))})"
            )


def _rope_scaling(header: GgufHeader, keys: _Keys, config: dict[str, Any]) -> dict[str, Any] | None:
    rotated = keys.integer("rope.dimension_count", config["head_dim"])
    if rotated != config["head_dim"]:
        raise StartupError(f"{header.path.name}: rope over {rotated} of {config['head_dim']} dimensions")
    if "rope_freqs.weight" in header.tensors:
        return _llama3_scaling(header, config)
    kind = keys.get("rope.scaling.type")
    if kind in (None, "none"):
        return None
    if kind not in ("linear", "yarn"):
        raise StartupError(f"{header.path.name}: rope scaling {kind!r} is not supported")
    scaling: dict[str, Any] = {"rope_type": kind, "factor": keys.number("rope.scaling.factor")}
    if kind == "yarn":
        scaling["original_max_position_embeddings"] = keys.integer("rope.scaling.original_context_length")
    return scaling


def _llama3_scaling(header: GgufHeader, config: dict[str, Any]) -> dict[str, Any]:
    """The file lists one divisor for each frequency; mlx-lm wants the formula they came from."""
    divisors = header.floats("rope_freqs.weight")
    factor = max(divisors)
    expected = llama3_divisors(config["rope_theta"], config["head_dim"], factor)
    if len(divisors) != len(expected) or any(
        not math.isclose(a, b, rel_tol=1e-3) for a, b in zip(divisors, expected, strict=True)
    ):
        raise StartupError(f"{header.path.name}: its rope frequencies follow no known rule")
    return {"rope_type": "llama3", "factor": factor, **_LLAMA3_ROPE}


def llama3_divisors(theta: float, head_dim: int, factor: float) -> list[float]:
    """Returns by what Llama 3 divides each of the ``head_dim / 2`` rope frequencies."""
    return [_llama3_divisor(theta ** (2 * i / head_dim), factor) for i in range(head_dim // 2)]


def _llama3_divisor(inverse_frequency: float, factor: float) -> float:
    turns = _LLAMA3_ROPE["original_max_position_embeddings"] / (2 * math.pi * inverse_frequency)
    low, high = _LLAMA3_ROPE["low_freq_factor"], _LLAMA3_ROPE["high_freq_factor"]
    if turns < low:
        return factor
    if turns > high:
        return 1.0
    smooth = (turns - low) / (high - low)
    return 1.0 / ((1.0 - smooth) / factor + smooth)
