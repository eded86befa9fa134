"""The parts of the check, in the order they run in, and what each is given."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from benchmarks.device.findings import FindingLog
from benchmarks.device.shapes import Shape
from benchmarks.device.time_budget import Deadline

# Of a part: none of the models, each of them, or one of each kind of state (see ``thorough_models``).
Scope = Literal["none", "each", "some"]


@dataclass(frozen=True, slots=True)
class Part:
    """``module`` of this package has ``run(context)``."""

    name: str
    module: str
    scope: Scope
    weight: float  # of the time, against the other parts
    floor_seconds: float  # with less it is not begun
    says: str  # for a person


PARTS: tuple[Part, ...] = (
    Part("sampling", "sampling_distribution", "none", 1.0, 4, "every way of sampling, by its distribution"),
    Part(
        "correctness", "correctness", "each", 1.0, 5, "greedy tokens over joins and leaves, by plain mlx-lm"
    ),
    Part("rates", "rates", "each", 1.5, 6, "decode and prefill against mlx-lm"),
    Part("stall", "stall", "some", 1.0, 5, "a long prompt beside eight streams"),
    Part("prefix", "prefix_hits", "some", 0.7, 4, "a conversation that comes back"),
    Part("memory", "memory", "some", 0.7, 4, "MLX's bytes against the engine's account"),
    Part("tests", "engine_tests", "none", 2.0, 15, "the engine's own tests that are marked `device`"),
)


@dataclass(frozen=True, slots=True)
class Order:
    """One part, for one model or none."""

    part: Part
    shape: Shape | None = None

    @property
    def label(self) -> str:
        return f"{self.part.name}:{self.shape.name}" if self.shape else self.part.name


@dataclass(frozen=True, slots=True)
class Context:
    """What a running part gets."""

    log: FindingLog
    deadline: Deadline
    is_tiny: bool  # small sizes, for a CPU
    shape: Shape | None = None

    @property
    def model(self) -> Shape:
        assert self.shape is not None, "this part needs a model"
        return self.shape


def plan(shapes: Iterable[Shape], only: Iterable[str] = ()) -> list[Order]:
    """All that is to be run; ``only``: names of parts, of models, or ``part:model``; empty is all."""
    shapes, wanted = list(shapes), set(only)
    thorough = thorough_models(shapes)
    orders = []
    for part in PARTS:
        scoped: dict[Scope, list[Shape | None]] = {"none": [None], "each": [*shapes], "some": [*thorough]}
        orders += [Order(part, shape) for shape in scoped[part.scope]]
    return [order for order in orders if not wanted or wanted & _names(order)]


def thorough_models(shapes: list[Shape]) -> list[Shape]:
    """The largest dense model, and the first one with recurrent state."""
    hybrids = [shape for shape in shapes if shape.has_state]
    dense = [shape for shape in shapes if not shape.has_state and not shape.has_experts]
    largest = max(dense, key=lambda shape: shape.num_parameters, default=None)
    return [shape for shape in (largest, *hybrids[:1]) if shape is not None]


def _names(order: Order) -> set[str]:
    model = {order.shape.name} if order.shape else set()
    return {order.part.name, order.label, *model}
