"""What a model computes just now: the rows of the step under way, for whoever inside of the model asks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from api.engine.forward.layout import StepLayout


class StepContext:
    """One object for a model: its layers, its backbone and whatever else is wrapped hold it and read it.

    A forward sets it once for each call of the model. Reading is a plain attribute: layers ask in each step.
    """

    layout: StepLayout  # only while a step is under way: who asks at another time gets an AttributeError
    # An index into hidden states ``[batch, tokens, hidden]``: the rows whose logits are wanted; None: all.
    selected: Any = None
    is_selected_by_backbone = False  # else the forward selects, among the logits of all rows

    @contextmanager
    def running(self, layout: StepLayout, selected: Any = None) -> Iterator[None]:
        """While the model is called for these rows. Raises RuntimeError where a step is under way."""
        if self.is_running:
            raise RuntimeError("a step of this model is under way")
        self.layout, self.selected = layout, selected
        try:
            yield
        finally:
            del self.layout
            self.selected = None

    @property
    def is_running(self) -> bool:
        return "layout" in self.__dict__
