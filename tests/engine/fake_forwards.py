"""Forwards without a model, whose logits are known, and one that fails."""

from __future__ import annotations

from collections.abc import Collection

import mlx.core as mx

from api.engine.forward.interface import Forward
from api.engine.forward.layout import make_layout
from api.step_plan import StepPlan
from tests.engine.fake_generator import StepFailed

_NUM_COUNTED = 50  # ids that the best token can be
_NUM_UNIFORM = 120


class StatelessForward:
    """There is nothing to be kept from step to step."""

    name = "stateless"

    def __init__(self) -> None:
        self.plans: list[StepPlan] = []
        self.num_resets = 0

    def compute_saves(self) -> None: ...

    def state(self) -> list[mx.array]:
        return []

    def reset(self) -> None:
        self.num_resets += 1


class CountingForward(StatelessForward):
    """Logits whose best token is the row's input plus one; selects the rows as the real layout does."""

    def __call__(self, plan: StepPlan, token_ids: mx.array) -> mx.array:
        self.plans.append(plan)
        if not any(span.num_logits for span in plan.spans):
            return mx.zeros((0, 1))
        layout = make_layout(plan)
        rows = token_ids[layout.selected[: layout.num_selected]]
        return (mx.arange(_NUM_COUNTED)[None] == rows[:, None] + 1).astype(mx.float32)


class UniformForward(StatelessForward):
    """All tokens are equally likely, so that only masks and noise decide."""

    def __call__(self, plan: StepPlan, token_ids: mx.array) -> mx.array:
        self.plans.append(plan)
        return mx.zeros((sum(span.num_samples for span in plan.spans), _NUM_UNIFORM))


class FailingForward:
    """Raises at some of the steps of several sequences: before the forward runs, or after it."""

    name = "failing"

    def __init__(
        self, forward: Forward, *, before: Collection[int] = (), after: Collection[int] = ()
    ) -> None:
        """``before`` and ``after``: which of these steps, counted from 1."""
        self._forward = forward
        self._before, self._after = before, after
        self._num_steps = 0

    def __call__(self, plan: StepPlan, token_ids: mx.array) -> mx.array:
        if len(plan.spans) < 2:
            return self._forward(plan, token_ids)
        self._num_steps += 1
        if self._num_steps in self._before:
            raise StepFailed
        logits = self._forward(plan, token_ids)
        if self._num_steps in self._after:
            raise StepFailed
        return logits

    def compute_saves(self) -> None: ...

    def state(self) -> list[mx.array]:
        return self._forward.state()

    def reset(self) -> None:
        self._forward.reset()
