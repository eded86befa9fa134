"""What is remembered of the steps that were dispatched and not yet read."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from api.engine.budget.step_budget import StepBudget
from api.engine.sequences.sequence import Sequence
from api.engine.speculation.verification_costs import StepKind
from api.step_plan import Draft


@dataclass(frozen=True, slots=True)
class _Step:
    sequence_ids: frozenset[int]
    num_rows: int
    num_prompt_rows: int
    prompt_context: float  # tokens before one of these rows, on average
    kind: StepKind  # of its other rows
    started_seconds: float
    is_overlapped: bool  # it was planned while the step before was under way


class StepHistory:
    """Times each step, for budget and speculation, and knows who was in those that are under way."""

    def __init__(self, budget: StepBudget, observe: Callable[[StepKind, float, bool], None]) -> None:
        """``observe`` is told the seconds of each step without prompt rows, and whether it was overlapped."""
        self._budget = budget
        self._observe = observe
        self._steps: deque[_Step] = deque()
        self.newest_ids: frozenset[int] = frozenset()  # of the newest step, also when it was read
        self._read_seconds = 0.0

    def __len__(self) -> int:
        return len(self._steps)

    @property
    def sequence_ids(self) -> frozenset[int]:
        return frozenset().union(*(step.sequence_ids for step in self._steps))

    def add(
        self, chosen: Iterable[tuple[Sequence, int]], now_seconds: float, drafts: Iterable[Draft] = ()
    ) -> None:
        """Remembers a step of these sequences with so many rows each, before they count as computed."""
        pairs = list(chosen)
        prefilling = [(sequence, n) for sequence, n in pairs if not sequence.is_decoding]
        self._steps.append(
            _Step(
                sequence_ids=frozenset(sequence.sequence_id for sequence, _ in pairs),
                num_rows=sum(n for _, n in pairs),
                num_prompt_rows=sum(n for _, n in prefilling),
                prompt_context=_mean_context(prefilling),
                kind=_kind([sequence for sequence, _ in pairs if sequence.is_decoding], list(drafts)),
                started_seconds=now_seconds,
                is_overlapped=bool(self._steps),
            )
        )
        self.newest_ids = self._steps[-1].sequence_ids

    def read(self, now_seconds: float, num_unread: int) -> None:
        """All but the newest ``num_unread`` steps had ended by now: the budget learns from them."""
        while len(self._steps) > num_unread:
            step = self._steps.popleft()
            self._tell(step, now_seconds - max(step.started_seconds, self._read_seconds))
        self._read_seconds = now_seconds

    def clear(self) -> None:
        self._steps.clear()
        self.newest_ids = frozenset()

    def _tell(self, step: _Step, seconds: float) -> None:
        """Beside prompts proposals cost what prompt rows do; alone they say nothing about a plain step."""
        if step.num_prompt_rows and (step.kind.num_drafts or step.kind.num_caught_up):
            return  # which of the two took how long is not known
        if step.num_prompt_rows:
            num_added = step.num_prompt_rows + step.kind.num_proposed
            self._budget.observe(step.num_rows, num_added, seconds, step.prompt_context)
            return
        if step.kind.is_plain:
            self._budget.observe(step.num_rows, 0, seconds)
        self._observe(step.kind, seconds, step.is_overlapped)


def _mean_context(prefilling: list[tuple[Sequence, int]]) -> float:
    num_rows = sum(n for _, n in prefilling)
    return sum(n * (sequence.num_computed + (n - 1) / 2) for sequence, n in prefilling) / max(1, num_rows)


def _kind(decoding: list[Sequence], drafts: list[Draft]) -> StepKind:
    numbers = [len(sequence.proposals) for sequence in decoding]
    return StepKind(
        num_decoding=len(decoding),
        num_verifying=sum(1 for number in numbers if number),
        num_proposed=sum(numbers),
        num_drafts=max((draft.num_proposals for draft in drafts), default=0),
        num_caught_up=sum(len(draft.token_ids) - bool(draft.num_proposals) for draft in drafts),
    )
