"""Makes a model apply its head only to the rows whose logits are needed."""

from __future__ import annotations

from typing import Any

import mlx.nn as nn

from api.engine.forward.step_context import StepContext


def select_backbone_rows(model: nn.Module, step: StepContext) -> None:
    """Lets ``model``'s backbone return only the rows that ``step`` selects; the model's own ``__call__``
    applies the head.

    The backbone is the module that holds the layers. It gets a subclass of its own class, so that its
    attributes and parameters stay where the model's code looks for them. Where the model has no such module,
    nothing changes: the forward then selects among the logits of all rows.
    """
    backbone = _find_backbone(model)
    if backbone is None:
        return
    step.is_selected_by_backbone = True
    original = type(backbone)

    def call(self: nn.Module, *args: Any, **kwargs: Any) -> Any:
        hidden = original.__call__(self, *args, **kwargs)
        return hidden if step.selected is None else hidden[step.selected]

    backbone.__class__ = type(original.__name__, (original,), {"__call__": call})


def _find_backbone(model: nn.Module) -> nn.Module | None:
    for _, module in model.named_modules():
        is_called = "__call__" in dir(type(module))  # and no mere list of layers
        if module is not model and is_called and isinstance(module.get("layers"), list):
            return module
    return None
