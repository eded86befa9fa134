"""A forward whose saved blocks go to disk as well."""

from __future__ import annotations

from functools import partial

import mlx.core as mx

from api.engine.device.host_arrays import Layout, layout_of
from api.engine.disk.writer import BlockWriter
from api.engine.forward.interface import CachedBlocks, Forward
from api.step_plan import BlockSave, Slot, Span, StepPlan


class WrittenThrough:
    """``Forward`` by another one. Batch thread only."""

    def __init__(
        self, forward: Forward, keeper: CachedBlocks, writer: BlockWriter, layouts: tuple[Layout, ...]
    ) -> None:
        """``layouts``: of a block without state, and of one with it."""
        self.name = forward.name
        self._forward = forward
        self._keeper = keeper
        self._writer = writer
        self._layouts = layouts
        self._saves: tuple[BlockSave, ...] = ()

    def __call__(self, plan: StepPlan, token_ids: mx.array) -> mx.array:
        self._saves = plan.saves
        return self._forward(plan, token_ids)

    def compute_saves(self) -> None:
        self._forward.compute_saves()
        for save in self._saves:
            layout = self._layouts[save.with_state]
            self._writer.offer(save.key, layout, partial(self._keeper.export, save.block_id))
        self._saves = ()

    def state(self) -> list[mx.array]:
        return self._forward.state()

    def reset(self) -> None:
        self._saves = ()
        self._forward.reset()


def probe_layouts(
    forward: Forward, keeper: CachedBlocks, block_tokens: int, *, has_state: bool
) -> tuple[Layout, ...]:
    """What blocks are made up of: without state, and with it where there is one. Resets the forward."""
    ids, slot = (0,) * block_tokens, Slot(block_tokens, 0)
    span = Span(0, slot, 0, ids, 1, 0)
    num_slots = ((block_tokens, 1),)
    forward(StepPlan(spans=(span,), num_slots=num_slots), mx.array(ids))
    mx.eval(forward.state())
    saves = tuple(BlockSave(i, slot, 0, block_tokens, with_state=bool(i)) for i in range(1 + has_state))
    forward(StepPlan(saves=saves, num_slots=num_slots), mx.zeros((0,), dtype=mx.int32))
    forward.compute_saves()
    layouts = tuple(layout_of(keeper.export(save.block_id)) for save in saves)
    forward.reset()
    return layouts
