"""The parts of an engine that a tuning changes."""

from __future__ import annotations

from typing import Protocol

import mlx.core as mx
import mlx.nn as nn

from api.engine.device.noise import device_noise, host_noise
from api.engine.forward.flat import FlatForward
from api.engine.forward.interface import Forward
from api.engine.sampling.sampler import Sampler
from api.engine.tuning.choices import Tuning
from api.engine.tuning.steps import StepRunner


class TunableGenerator(StepRunner, Protocol):
    """The generator, as far as it is tuned."""

    early_limit_bytes: float


class TunedEngine:
    """``Engine`` of a forward, a sampler and the generator that runs them."""

    def __init__(self, forward: Forward, sampler: Sampler, generator: TunableGenerator) -> None:
        self._flat = forward if isinstance(forward, FlatForward) else None
        self._sampler = sampler
        self._generator = generator
        self._checked_traces = self._flat is not None and self._flat.is_compiled

    @property
    def can_compile(self) -> bool:
        """Whether traces passed the self-check."""
        return self._checked_traces

    @property
    def can_fill_rows(self) -> bool:
        return self._flat is not None

    def apply(self, tuning: Tuning) -> None:
        self._sampler.noise = host_noise if tuning.noise == "host" else device_noise
        self._generator.early_limit_bytes = tuning.early_limit_bytes
        if self._flat is not None:
            self._flat.row_multiple = tuning.row_multiple
            self._flat.is_compiled = tuning.compiles_steps and self._checked_traces


def product_shapes(model: nn.Module) -> tuple[list[tuple[int, int]], mx.Dtype]:
    """(outputs, inputs) of the model's kinds of plain products, but for its head; none where quantised."""
    shapes: list[tuple[int, int]] = []
    dtype = mx.float32
    for _, module in model.named_modules():
        if type(module) is nn.Linear and tuple(module.weight.shape) not in shapes:
            outputs, inputs = module.weight.shape
            shapes.append((outputs, inputs))
            dtype = module.weight.dtype
    largest = 8 * min((inputs for _, inputs in shapes), default=0)
    return [shape for shape in shapes if shape[0] <= largest], dtype
