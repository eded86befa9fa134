"""A random llama of a hundred kilobytes, as mlx-lm folder and as GGUF file, and its tokenizer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mlx.core as mx
import mlx.nn as nn
import numpy as np
from mlx.utils import tree_flatten
from mlx_lm.models import llama, qwen2, qwen3
from tokenizers.pre_tokenizers import ByteLevel

from tests.engine.loading.gguf_writer import Tensor, f32, write_gguf
from tests.fakes.model_folder import write_model

CONFIG: dict[str, Any] = {
    "model_type": "llama",
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "intermediate_size": 96,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "rms_norm_eps": 1e-5,
    "rope_theta": 10000.0,
    "max_position_embeddings": 512,
    "vocab_size": 288,
    "tie_word_embeddings": True,
    "eos_token_id": 258,
}
_ARCHITECTURES: dict[str, Any] = {"llama": llama, "qwen2": qwen2, "qwen3": qwen3}
_GGUF_NAMES = {
    "model.embed_tokens": "token_embd",
    "model.norm": "output_norm",
    "lm_head": "output",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "self_attn.q_norm": "attn_q_norm",
    "self_attn.k_norm": "attn_k_norm",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}
# Bytes as GPT-2 spells them, two merged tokens, three control tokens, then padding up to the size.
_LETTERS = sorted(ByteLevel.alphabet())
_CONTROL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]


def tiny_model(**changes: Any) -> nn.Module:
    """A seeded random model of ``CONFIG`` with changes, float32."""
    mx.random.seed(0)
    config = CONFIG | changes
    module = _ARCHITECTURES[config["model_type"]]
    model: nn.Module = module.Model(module.ModelArgs.from_dict(config))
    mx.eval(model.parameters())
    return model


def save_folder(folder: Path, model: nn.Module, **changes: Any) -> Path:
    return write_model(folder, model, CONFIG | changes)


def logits(model: nn.Module) -> np.ndarray[Any, Any]:
    return np.array(model(mx.array([[5, 17, 42, 99, 7, 256, 3, 200]])).astype(mx.float32))


def llama_cpp_rows(array: np.ndarray[Any, Any], num_heads: int) -> np.ndarray[Any, Any]:
    """The row order that llama.cpp's converter gives q and k, from its definition: 0, h/2, 1, h/2+1, ..."""
    head_dim = array.shape[0] // num_heads
    order = [half * head_dim // 2 + pair for pair in range(head_dim // 2) for half in (0, 1)]
    return np.concatenate([array[head * head_dim :][order] for head in range(num_heads)])


def save_gguf(path: Path, model: nn.Module, *, pack: Any = None, **changes: Any) -> Path:
    """``pack(name, array) -> Tensor`` chooses the type of matrices; vectors are float32."""
    config = CONFIG | changes
    tensors = {}
    for name, array in tree_flatten(model.parameters()):
        values = np.array(array)
        heads = {"q_proj": config["num_attention_heads"], "k_proj": config["num_key_value_heads"]}
        projection = name.split(".")[-2]
        if config["model_type"] == "llama" and projection in heads:
            values = llama_cpp_rows(values, heads[projection])
        tensors[_gguf_name(name)] = _packed(_gguf_name(name), values, pack)
    return write_gguf(path, gguf_metadata(config), tensors)


def gguf_metadata(config: dict[str, Any]) -> dict[str, Any]:
    architecture = config["model_type"]
    own = {
        "embedding_length": config["hidden_size"],
        "block_count": config["num_hidden_layers"],
        "feed_forward_length": config["intermediate_size"],
        "attention.head_count": config["num_attention_heads"],
        "attention.head_count_kv": config["num_key_value_heads"],
        "attention.layer_norm_rms_epsilon": config["rms_norm_eps"],
        "rope.freq_base": config["rope_theta"],
        "context_length": config["max_position_embeddings"],
    }
    named = {f"{architecture}.{key}": value for key, value in own.items()}
    return {"general.architecture": architecture, **named, **tokenizer_metadata(config["vocab_size"])}


def tokenizer_metadata(vocab_size: int = 288) -> dict[str, Any]:
    tokens = [*_LETTERS, *_CONTROL, "he", "Ġhe"]
    tokens += [f"[PAD{i}]" for i in range(vocab_size - len(tokens))]
    return {
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "smollm",
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.token_type": [3 if token in _CONTROL else 1 for token in tokens],
        "tokenizer.ggml.merges": ["h e", "Ġ he"],
        "tokenizer.ggml.bos_token_id": 257,
        "tokenizer.ggml.eos_token_id": 258,
        "tokenizer.ggml.add_bos_token": False,
        "tokenizer.chat_template": "{% for m in messages %}{{ m['content'] }}{% endfor %}",
    }


def _gguf_name(name: str) -> str:
    stem, _, kind = name.rpartition(".")
    parts = stem.split(".")
    if parts[:2] == ["model", "layers"]:
        return f"blk.{parts[2]}.{_GGUF_NAMES['.'.join(parts[3:])]}.{kind}"
    return f"{_GGUF_NAMES[stem]}.{kind}"


def _packed(name: str, values: np.ndarray[Any, Any], pack: Any) -> Tensor:
    tensor: Tensor = pack(name, values) if pack and values.ndim == 2 else f32(values)
    return tensor
