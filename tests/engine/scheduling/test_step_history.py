from __future__ import annotations

from api.engine.scheduling.step_history import StepHistory
from api.engine.speculation.verification_costs import StepKind
from tests.engine.factories import create_sequence


class Budget:
    """What a budget was told of each step."""

    def __init__(self) -> None:
        self.observed: list[tuple[float, ...]] = []

    def observe(self, *numbers: float) -> None:
        self.observed.append(numbers)


def test_the_budget_learns_how_deep_in_their_prompts_the_rows_were() -> None:
    budget, kinds = Budget(), list[StepKind]()
    history = StepHistory(budget, lambda kind, seconds, is_overlapped: kinds.append(kind))  # type: ignore[arg-type]
    deep, fresh = create_sequence(1, num_prompt_tokens=2000), create_sequence(2, num_prompt_tokens=50)
    deep.num_computed = 1000
    history.add([(deep, 10), (fresh, 30)], now_seconds=1.0)
    history.read(now_seconds=1.5, num_unread=0)
    assert budget.observed == [(40, 40, 0.5, (10 * 1004.5 + 30 * 14.5) / 40)]
    assert kinds == []


def test_whether_a_step_was_planned_beside_the_one_before_is_told() -> None:
    told = list[bool]()
    history = StepHistory(Budget(), lambda kind, seconds, is_overlapped: told.append(is_overlapped))  # type: ignore[arg-type]
    sequence = create_sequence(1, num_prompt_tokens=4)
    sequence.token_ids.append(7)
    sequence.num_computed = 4
    history.add([(sequence, 1)], now_seconds=1.0)
    history.add([(sequence, 1)], now_seconds=1.1)
    history.read(now_seconds=1.5, num_unread=1)
    history.read(now_seconds=2.0, num_unread=0)
    history.add([(sequence, 1)], now_seconds=2.1)
    history.read(now_seconds=2.5, num_unread=0)
    assert told == [False, True, False]
