"""What a supervisor and a worker of its tell each other, beside signals and exit codes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


def _nobody_asks() -> None:
    """A server without a supervisor."""


@dataclass(frozen=True, slots=True)
class Supervision:
    on_serving: Callable[[], None] = _nobody_asks  # called when the model is loaded
    # A successor leaves the port to its siblings until it can serve: they need not say 503 in its place.
    listens_when_loaded: bool = False
