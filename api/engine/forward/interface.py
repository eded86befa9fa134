"""What the generator asks of a forward; nothing above it knows which one runs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol, runtime_checkable

import mlx.core as mx

from api.engine.device.host_arrays import HostArray
from api.step_plan import StepPlan


class Forward(Protocol):
    """Computes a plan's rows and keeps the state (KV, recurrent) of the sequences in it."""

    name: str

    def __call__(self, plan: StepPlan, token_ids: mx.array) -> mx.array:
        """Lazily applies ``plan`` to ``token_ids`` (int32 ``[plan.num_rows]``, rows in span order).

        Returns logits ``[rows that need them, vocabulary]`` in span order: the last ``num_logits`` of each
        span. Mutates the state.
        """

    def compute_saves(self) -> None:
        """Computes the copies that the last plan saved; before anything it writes is dispatched."""

    def state(self) -> list[mx.array]:
        """The arrays that must be evaluated with the step."""

    def reset(self) -> None:
        """Drops all state; every sequence starts again."""


class CachedBlocks(Protocol):
    """Cached blocks, as other processes with the same model can use them."""

    def export(self, block_id: int) -> list[HostArray]:
        """A copy of a block whose save is computed: KV, and the state behind it where that was saved."""

    def insert(self, block_id: int, arrays: Iterable[HostArray]) -> None:
        """A block that was exported, here or elsewhere, computed at once."""

    def drop(self, block_ids: Iterable[int]) -> None:
        """Unknown ids are ignored."""


@runtime_checkable
class HasCachedBlocks(Protocol):
    """A forward that obeys a plan's saves and loads."""

    @property
    def blocks(self) -> CachedBlocks: ...
