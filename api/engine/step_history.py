"""What is remembered of the steps that were dispatched and not yet read."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

from api.engine.sequence import Sequence
from api.engine.step_budget import StepBudget


@dataclass(frozen=True, slots=True)
class _Step:
    sequence_ids: frozenset[int]
    num_rows: int
    num_prompt_rows: int
    started_seconds: float


class StepHistory:
    """Times each step, for the budget, and knows who was in those that are under way."""

    def __init__(self, budget: StepBudget) -> None:
        self._budget = budget
        self._steps: deque[_Step] = deque()
        self._read_seconds = 0.0

    def __len__(self) -> int:
        return len(self._steps)

    @property
    def sequence_ids(self) -> frozenset[int]:
        return frozenset().union(*(step.sequence_ids for step in self._steps))

    def add(self, chosen: Iterable[tuple[Sequence, int]], now_seconds: float) -> None:
        """Remembers a step of these sequences with so many rows each, before they count as computed."""
        pairs = list(chosen)
        self._steps.append(
            _Step(
                sequence_ids=frozenset(sequence.sequence_id for sequence, _ in pairs),
                num_rows=sum(n for _, n in pairs),
                num_prompt_rows=sum(0 if sequence.is_decoding else n for sequence, n in pairs),
                started_seconds=now_seconds,
            )
        )

    def read(self, now_seconds: float, num_unread: int) -> None:
        """All but the newest ``num_unread`` steps had ended by now: the budget learns from them."""
        while len(self._steps) > num_unread:
            step = self._steps.popleft()
            seconds = now_seconds - max(step.started_seconds, self._read_seconds)
            self._budget.observe(step.num_rows, step.num_prompt_rows, seconds)
        self._read_seconds = now_seconds

    def clear(self) -> None:
        self._steps.clear()
