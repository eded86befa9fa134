"""A private instance of the package ``mlx_lm.models``: the seam through which attention is ours.

The same source files, imported under another name. In that instance's own ``base`` module
``scaled_dot_product_attention`` is replaced by one that lets keys or a cache with an ``attend`` method do
the attention; all others get mlx-lm's own function. mlx-lm itself is not patched: the modules
``mlx_lm.models.*`` stay as they are, and the model files stay untouched.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any

import mlx.core as mx
import mlx_lm.models
import mlx_lm.utils

_PACKAGE_NAME = "mlx_lm.flat_models"  # beside mlx_lm.models: some of its files import from their parent


def load_model_package(functions: Mapping[str, Callable[..., Any]]) -> ModuleType:
    """The private package, created on first use.

    ``functions``: ``"module.name" -> function`` that the models get in place of mlx-lm's own.
    """
    if _PACKAGE_NAME in sys.modules:
        return sys.modules[_PACKAGE_NAME]
    package = ModuleType(_PACKAGE_NAME)
    package.__path__ = list(mlx_lm.models.__path__)
    sys.modules[_PACKAGE_NAME] = package
    base = importlib.import_module(f"{_PACKAGE_NAME}.base")
    _set(base, "scaled_dot_product_attention", _with_attend(base.scaled_dot_product_attention))
    for path, function in functions.items():
        module, _, name = path.rpartition(".")
        _set(importlib.import_module(f"{_PACKAGE_NAME}.{module}"), name, function)
    return package


def class_finder(package: ModuleType) -> Callable[[dict[str, Any]], tuple[type, type]]:
    """The ``get_model_classes`` for ``mlx_lm.utils.load_model`` that answers from ``package``.

    Raises ValueError for a model type that mlx-lm does not know.
    """

    def find(config: dict[str, Any]) -> tuple[type, type]:
        original, _ = mlx_lm.utils._get_classes(config)
        architecture = original.__module__.rpartition(".")[2]
        module = importlib.import_module(f"{package.__name__}.{architecture}")
        return module.Model, module.ModelArgs

    return find


def _set(module: ModuleType, name: str, value: Any) -> None:
    setattr(module, name, value)


def _with_attend(original: Callable[..., mx.array]) -> Callable[..., mx.array]:
    def scaled_dot_product_attention(
        queries: mx.array,
        keys: Any,
        values: Any,
        cache: Any,
        scale: float,
        mask: Any,
        sinks: mx.array | None = None,
    ) -> mx.array:
        owner = keys if hasattr(keys, "attend") else cache
        if hasattr(owner, "attend"):
            attended: mx.array = owner.attend(queries, keys, values, scale, mask, sinks)
            return attended
        return original(queries, keys, values, cache=cache, scale=scale, mask=mask, sinks=sinks)

    return scaled_dot_product_attention
