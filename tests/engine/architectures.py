"""Every architecture that mlx-lm ships, as a tiny random model (``architectures.json`` has the sizes).

A configuration is the common one, what the architecture needs beside it, and its ``text_config``: another
architecture's whole configuration where that is a name.
"""

from __future__ import annotations

import importlib
import json
import pkgutil
from functools import cache
from pathlib import Path
from typing import Any

import mlx.core as mx
import mlx.nn as nn
import mlx_lm.models
from mlx.utils import tree_map

from api.engine.forward.model_package import load_model_package
from tests.engine.tiny_models import platform

_DATA = json.loads(Path(__file__).with_suffix(".json").read_text(encoding="utf-8"))
NOTES: dict[str, str] = _DATA["notes"]
# With these mlx-lm says one thing with its caches and another without: what it says without is compared.
OWN_CACHE_DIFFERS: list[str] = _DATA["own_cache_differs"]
NEEDS_METAL: list[str] = _DATA["needs_metal"]
NEEDS_PACKAGE: dict[str, str] = _DATA["needs_package"]
# Randomly initialised layers hardly change what passes through them, and some gains and biases are zero.
_WEIGHT_SCALE = 2.0
_GAIN_SCALE = 0.1


@cache
def architectures() -> list[str]:
    """The modules of mlx-lm that define a model."""
    names = [module.name for module in pkgutil.iter_modules(mlx_lm.models.__path__)]
    return [name for name in sorted(names, key=str.lower) if _defines_model(name)]


def loadable() -> list[str]:
    """Those that this machine can run."""
    missing = set(NEEDS_PACKAGE) if mx.metal.is_available() else {*NEEDS_PACKAGE, *NEEDS_METAL}
    return [name for name in architectures() if name not in missing]


def config(name: str) -> dict[str, Any]:
    made = {**_DATA["common"], "model_type": name, **_DATA["architectures"].get(name, {})}
    text = made.get("text_config")
    if isinstance(text, str):
        made["text_config"] = config(text)
    elif text is not None:
        made["text_config"] = {**_DATA["common"], "model_type": name, **text}
    return made


def build(name: str) -> nn.Module:
    """A fresh model from the private package, the same weights each time."""
    model = _model(load_model_package(platform().model_functions).__name__, name)
    model.update(tree_map(_spread, model.parameters()))
    mx.eval(model.parameters())
    return model


def build_plain(name: str, like: nn.Module) -> nn.Module:
    """mlx-lm's own class with the weights of ``like``."""
    model = _model(mlx_lm.models.__name__, name)
    model.update(like.parameters())
    return model


def _model(package: str, name: str) -> nn.Module:
    module = importlib.import_module(f"{package}.{name}")
    mx.random.seed(0)
    model: nn.Module = module.Model(module.ModelArgs.from_dict(config(name)))
    return model


def _spread(array: mx.array) -> mx.array:
    if not mx.issubdtype(array.dtype, mx.floating):
        return array
    if not mx.any(array).item():
        return mx.random.normal(array.shape, dtype=array.dtype) * _GAIN_SCALE
    return array * _WEIGHT_SCALE if array.ndim > 1 else array


def _defines_model(name: str) -> bool:
    try:
        return hasattr(importlib.import_module(f"{mlx_lm.models.__name__}.{name}"), "ModelArgs")
    except SystemExit:  # a package is missing
        return True
