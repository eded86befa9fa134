"""Float32 weights for a CPU, where BLAS knows nothing narrower: see ``widen``."""

from __future__ import annotations

import sys
from typing import Any

import mlx.core as mx
import mlx.nn as nn
from mlx.utils import tree_flatten, tree_unflatten

_HALF = (mx.float16, mx.bfloat16)


def widen(model: nn.Module) -> None:
    """Turns quantised layers into plain ones and half precision into float32, in place.

    One array at a time, so memory peaks at the final size plus one layer. Quantised layers of an
    unknown kind stay quantised.
    """
    _replace_quantized(model)
    _cast_half(model)
    mx.clear_cache()


def _replace_quantized(model: nn.Module) -> None:
    names = [name for name, module in model.named_modules() if _plain_class(module) is not None]
    for name in sorted(names):
        plain = _plain(_module_at(model, name))
        mx.eval(plain.parameters())
        model.update_modules(tree_unflatten([(name, plain)]))


def _module_at(model: nn.Module, name: str) -> Any:
    # Looked up one by one: a list of the modules would keep every replaced one alive.
    node: Any = model
    for part in name.split("."):
        node = node[int(part)] if isinstance(node, list) else node[part]
    return node


def _plain_class(module: nn.Module) -> type[nn.Module] | None:
    kind = type(module)
    known: dict[type, type[nn.Module]] = {nn.QuantizedLinear: nn.Linear, nn.QuantizedEmbedding: nn.Embedding}
    if kind.__name__ == "QuantizedSwitchLinear":
        # By name, and its sibling by its module: the models may come from a second import of mlx-lm's.
        known[kind] = sys.modules[kind.__module__].SwitchLinear
    return known.get(kind)


def _plain(module: Any) -> nn.Module:
    weight = _dequantized(module)
    has_bias = "bias" in module
    kind: Any = _plain_class(module)
    # Embedding takes (tokens, outputs), Linear (inputs, outputs), SwitchLinear (inputs, outputs, experts).
    is_embedding = kind is nn.Embedding
    plain: Any = kind(*weight.shape) if is_embedding else kind(*weight.shape[::-1], bias=has_bias)
    plain.weight = weight
    if has_bias:
        plain.bias = module.bias.astype(mx.float32)
    plain.train(module.training)
    result: nn.Module = plain
    return result


def _dequantized(module: Any) -> mx.array:
    """Returns the weight in float32, computed there: half precision would round it once more."""
    scales, biases = module.scales, module.get("biases")
    if scales.dtype != mx.uint8:
        scales = scales.astype(mx.float32)
    return mx.dequantize(
        module.weight,
        scales=scales,
        biases=None if biases is None else biases.astype(mx.float32),
        group_size=module.group_size,
        bits=module.bits,
        mode=module.mode,
        global_scale=module.get("global_scale"),
        dtype=mx.float32,
    )


def _cast_half(model: nn.Module) -> None:
    pairs = [(name, array) for name, array in tree_flatten(model.parameters()) if array.dtype in _HALF]
    while pairs:
        name, array = pairs.pop()
        array = array.astype(mx.float32)
        mx.eval(array)
        model.update(tree_unflatten([(name, array)]))
