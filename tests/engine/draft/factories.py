"""A scheduler that drafts, over the fake generator whose clock says what drafts and rows take."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Sequence as Items

from api.engine.budget.step_budget import StepBudget
from api.engine.draft.costs import DraftCosts
from api.engine.draft.speculation import DraftSpeculation
from api.engine.scheduling.scheduler import Scheduler
from api.engine.speculation.repeats import Repeats
from api.engine.speculation.speculation import AdaptiveSpeculation
from api.engine.speculation.verification_costs import VerificationCosts
from api.step_plan import StepPlan
from tests.engine.factories import Loop, create_budget, create_memory
from tests.engine.fake_generator import FakeClock, FakeDrafter, FakeGenerator, next_token

Guess = Callable[[Items[int]], int]


class TimedGenerator(FakeGenerator):
    """Its clock is a device's: a step without rows takes no time."""

    def _seconds(self, plan: StepPlan) -> float:
        return super()._seconds(plan) if plan.spans else 0.0


def create_speculation(
    budget: StepBudget, draft_share: float = 0.2, context_length: int = 1024
) -> DraftSpeculation:
    verification = VerificationCosts(budget)
    text = AdaptiveSpeculation(verification, [Repeats()])
    return DraftSpeculation(
        text, DraftCosts(verification, budget, draft_share), budget, context_length, stall_seconds=0.25
    )


def create_drafting_loop(
    guess: Guess = next_token,
    *,
    seconds_per_row: float = 0.0002,
    draft_seconds: float = 0.002,
    budget_tokens: int = 4096,
    cached_tokens: int = 0,
    max_batch_size: int = 4,
    max_step_tokens: int = 40,
    context_length: int = 60,
    draft_context: int = 1024,
    read_seconds: float = 0.0,
) -> Loop[FakeGenerator]:
    """A step takes 10 ms and ``seconds_per_row``, each forward of the draft model ``draft_seconds`` and
    ``read_seconds`` for each token that it reads.
    """
    clock, budget = FakeClock(), create_budget(max_step_tokens)
    memory = create_memory(budget_tokens, context_length, cached_tokens)
    speculation = create_speculation(budget, draft_seconds / 0.01, draft_context)
    scheduler = Scheduler(memory, budget, max_batch_size, clock, speculation)
    generator = TimedGenerator(clock, seconds_per_row, FakeDrafter(guess, draft_seconds, read_seconds))
    return Loop(scheduler, memory, generator)


def drafting_plans(loop: Loop[FakeGenerator]) -> list[StepPlan]:
    return [plan for plan in loop.plans if any(draft.num_proposals for draft in plan.drafts)]
