"""What the generator asks of a forward; nothing above it knows which one runs."""

from __future__ import annotations

from typing import Protocol

import mlx.core as mx

from api.types import StepPlan


class Forward(Protocol):
    """Computes a plan's rows and keeps the state (KV, recurrent) of the sequences in it."""

    name: str

    def __call__(self, plan: StepPlan, token_ids: mx.array) -> mx.array:
        """Lazily applies ``plan`` to ``token_ids`` (int32 ``[plan.num_rows]``, rows in span order).

        Returns logits ``[spans that sample, vocabulary]`` in span order. Mutates the state.
        """

    def settle(self) -> None:
        """Computes the copies that the last plan saved; before anything it writes is dispatched."""

    def state(self) -> list[mx.array]:
        """The arrays that must be evaluated with the step."""

    def reset(self) -> None:
        """Drops all state; every sequence starts again."""
