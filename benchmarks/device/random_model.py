"""A model with random weights, made on the device module by module: never more than one of them in bf16."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import mlx.core as mx
import mlx.nn as nn
import mlx_lm.utils

from benchmarks.device.shapes import GROUP_SIZE, Precision

GetClasses = Callable[[dict[str, Any]], tuple[type, type]]

_BITS = 4
_PIECE_NUMBERS = 64 * 1024**2  # made at a time: random numbers are float32 on their way


def build_random_model(config: dict[str, Any], precision: Precision, get_classes: GetClasses) -> nn.Module:
    """``get_classes``: of mlx-lm or of the engine's private instance of it. The same weights each time."""
    model = empty_model(config, get_classes)
    mx.random.seed(0)
    casts = getattr(model, "cast_predicate", None) or (lambda name: True)
    quantizes = getattr(model, "quant_predicate", None) or (lambda name, module: True)
    for name in [name for name, _ in model.named_modules()]:
        module = module_at(model, name)
        _fill(name, module, casts)
        if precision == "4-bit" and _can_quantize(module) and (how := quantizes(name, module)):
            module = module.to_quantized(**_parameters(how))
            _put(model, name, module)
        mx.eval([array for array in module.values() if isinstance(array, mx.array)])
    mx.clear_cache()
    model.eval()
    return model


def empty_model(config: dict[str, Any], get_classes: GetClasses) -> nn.Module:
    """Its arrays are promises, which take no memory."""
    model_class, args_class = get_classes(config)
    model: nn.Module = model_class(args_class.from_dict(config))  # type: ignore[attr-defined]
    return model


def plain_twin(model: nn.Module, config: dict[str, Any]) -> nn.Module:
    """mlx-lm's own class with the very same arrays."""
    twin = empty_model(config, mlx_lm.utils._get_classes)
    for name, module in list(model.named_modules()):
        if "scales" in module:
            how = {"group_size": module.group_size, "bits": module.bits, "mode": module.mode}
            _put(twin, name, module_at(twin, name).to_quantized(**how))
    twin.update(model.parameters())
    twin.eval()
    return twin


def module_at(model: nn.Module, name: str) -> Any:
    node: Any = model
    for part in name.split(".") if name else ():
        node = node[int(part)] if isinstance(node, list) else node[part]
    return node


def _put(model: nn.Module, name: str, module: nn.Module) -> None:
    parent, _, last = name.rpartition(".")
    node = module_at(model, parent)
    node[int(last) if isinstance(node, list) else last] = module


def _fill(name: str, module: Any, casts: Callable[[str], bool]) -> None:
    """Matrices are drawn so that what passes keeps its size; vectors stay as the model makes them."""
    for key, array in list(module.items()):
        if not isinstance(array, mx.array):
            continue
        if array.ndim > 1 and mx.issubdtype(array.dtype, mx.floating):
            num_inputs = math.prod(array.shape[1:]) if isinstance(module, nn.Conv1d) else array.shape[-1]
            module[key] = _random(array.shape, num_inputs**-0.5)
        elif mx.issubdtype(array.dtype, mx.floating) and casts(f"{name}.{key}"):
            module[key] = array.astype(mx.bfloat16)


def _random(shape: tuple[int, ...], deviation: float) -> mx.array:
    num_rows = max(1, _PIECE_NUMBERS // math.prod(shape[1:]))
    pieces = []
    for first in range(0, shape[0], num_rows):
        size = (min(num_rows, shape[0] - first), *shape[1:])
        pieces.append(mx.random.normal(size, dtype=mx.bfloat16, scale=deviation))
        mx.eval(pieces[-1])
    return pieces[0] if len(pieces) == 1 else mx.concatenate(pieces)


def _can_quantize(module: Any) -> bool:
    return hasattr(module, "to_quantized") and module.weight.shape[-1] % GROUP_SIZE == 0


def _parameters(how: bool | dict[str, Any]) -> dict[str, Any]:
    return {"group_size": GROUP_SIZE, "bits": _BITS} | (how if isinstance(how, dict) else {})
