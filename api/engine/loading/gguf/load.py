"""Builds a model from a GGUF file: mlx-lm's class, llama.cpp's weights.

Packed tensors stay packed (Q4_0, Q4_1, Q4_K and Q8_0 are MLX's affine quantisation with groups of
32); MLX converts what it cannot keep to float16.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlx.core as mx
import mlx.nn as nn
from mlx.utils import tree_flatten

from api.engine.loading.gguf.blocks import read_q4_k
from api.engine.loading.gguf.header import read_header
from api.errors import StartupError

GetModelClasses = Callable[[dict[str, Any]], tuple[type, type]]

_GROUP_SIZE = 32
_TOP = {"token_embd": "model.embed_tokens", "output": "lm_head", "output_norm": "model.norm"}
_LAYER = {
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "attn_q_norm": "self_attn.q_norm",
    "attn_k_norm": "self_attn.k_norm",
    "attn_norm": "input_layernorm",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
_LAYER_NAME = re.compile(r"blk\.(\d+)\.(\w+)\.(weight|scales|biases|bias)")
_TOP_NAME = re.compile(r"(\w+)\.(weight|scales|biases|bias)")
_ROPE_DIVISORS = "rope_freqs.weight"  # these are in the config


def build_model(
    path: Path, config: dict[str, Any], get_model_classes: GetModelClasses
) -> tuple[nn.Module, dict[str, Any]]:
    """Returns the model and its config with the layers' ``quantization``.

    Raises StartupError for a tensor without a place, ValueError or RuntimeError for damaged weights.
    """
    weights = read_weights(path, config)
    quantization = quantization_config(weights)
    config = config | ({"quantization": quantization} if quantization else {})
    model_class, args_class = get_model_classes(config)
    model = model_class(args_class.from_dict(config))  # type: ignore[attr-defined]
    _quantize(model, quantization)
    model.eval()
    model.load_weights(list(weights.items()), strict=True)
    return model, config


def unify_precision(model: nn.Module) -> None:
    """Casts float32 vectors beside half precision weights to float16.

    Left as they are in the file, the norms would turn every activation into float32.
    """
    kinds = {array.dtype for _, array in tree_flatten(model.parameters())}
    if mx.float16 in kinds and mx.float32 in kinds:
        model.set_dtype(mx.float16)


def read_weights(path: Path, config: dict[str, Any]) -> dict[str, mx.array]:
    """Returns the file's tensors under mlx-lm's names, rows of q and k in its order."""
    loaded: Any = mx.load(str(path))
    for tensor in read_header(path).tensors.values():
        if tensor.type_name == "Q4_K":
            parts = read_q4_k(path, tensor)
            prefix = tensor.name.removesuffix("weight")
            loaded.update({prefix + kind: part for kind, part in parts.items()})
    weights = {}
    for name in list(loaded):
        if name != _ROPE_DIVISORS:
            weights[_renamed(name, path)] = loaded.pop(name)
    if config["model_type"] == "llama":
        _restore_rope_order(weights, config)
    return weights


def restore_rows(array: mx.array, num_heads: int) -> mx.array:
    """Undoes llama.cpp's order of the rows of q and k: per head, pairs side by side.

    ``array`` is [heads * head_dim, ...]; returns the same shape with each head's two halves apart.
    """
    rows = array.shape[0]
    pairs = array.reshape(num_heads, rows // num_heads // 2, 2, *array.shape[1:])
    return pairs.swapaxes(1, 2).reshape(array.shape)


def quantization_config(weights: dict[str, mx.array]) -> dict[str, Any]:
    """Returns mlx-lm's ``quantization`` entry, one part for each packed layer; {} where none is."""
    layers = {
        name.removesuffix(".scales"): _layer_quantization(weights, name)
        for name in weights
        if name.endswith(".scales")
    }
    if not layers:
        return {}
    bits = max(layer["bits"] for layer in layers.values())
    return {"group_size": _GROUP_SIZE, "bits": bits, "mode": "affine", **layers}


def _layer_quantization(weights: dict[str, mx.array], scales_name: str) -> dict[str, Any]:
    packed = weights[scales_name.removesuffix("scales") + "weight"]
    num_inputs = weights[scales_name].shape[-1] * _GROUP_SIZE
    return {"group_size": _GROUP_SIZE, "bits": packed.shape[-1] * 32 // num_inputs, "mode": "affine"}


def _quantize(model: nn.Module, quantization: dict[str, Any]) -> None:
    """Gives the packed layers, and only those, their quantised class."""
    if quantization:
        nn.quantize(model, class_predicate=lambda name, _: quantization.get(name, False))


def _restore_rope_order(weights: dict[str, mx.array], config: dict[str, Any]) -> None:
    heads = {"q_proj": config["num_attention_heads"], "k_proj": config["num_key_value_heads"]}
    for name in weights:
        projection = name.split(".")[-2]
        if projection in heads:
            weights[name] = restore_rows(weights[name], heads[projection])


def _renamed(name: str, path: Path) -> str:
    if (match := _LAYER_NAME.fullmatch(name)) and match[2] in _LAYER:
        return f"model.layers.{match[1]}.{_LAYER[match[2]]}.{match[3]}"
    if (match := _TOP_NAME.fullmatch(name)) and match[1] in _TOP:
        return f"{_TOP[match[1]]}.{match[2]}"
    raise StartupError(f"{path.name}: tensor {name!r} has no place in this kind of model")
