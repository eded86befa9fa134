"""Makes a model apply its head only to the rows whose logits are needed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import mlx.nn as nn


class RowSelector:
    """Holds the rows that the step under way wants; ``None`` leaves the backbone's output whole."""

    def __init__(self) -> None:
        self.rows: Any = None  # an index into hidden states ``[batch, tokens, hidden]``

    @contextmanager
    def selecting(self, rows: Any) -> Iterator[None]:
        self.rows = rows
        try:
            yield
        finally:
            self.rows = None


def select_backbone_rows(model: nn.Module) -> RowSelector | None:
    """Lets ``model``'s backbone return only the selected rows; its own ``__call__`` applies the head.

    The backbone is the module that holds the layers. It gets a subclass of its own class, so that its
    attributes and parameters stay where the model's code looks for them. Returns None where the model
    has no such module; the caller then selects among the whole logits.
    """
    backbone = _find_backbone(model)
    if backbone is None:
        return None
    selector = RowSelector()
    original = type(backbone)

    def call(self: nn.Module, *args: Any, **kwargs: Any) -> Any:
        hidden = original.__call__(self, *args, **kwargs)
        return hidden if selector.rows is None else hidden[selector.rows]

    backbone.__class__ = type(original.__name__, (original,), {"__call__": call})
    return selector


def _find_backbone(model: nn.Module) -> nn.Module | None:
    for _, module in model.named_modules():
        is_called = "__call__" in dir(type(module))  # and no mere list of layers
        if module is not model and is_called and isinstance(module.get("layers"), list):
            return module
    return None
