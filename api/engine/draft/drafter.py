"""What the generator asks of a draft model; the scheduler knows only the plan's ``Draft`` values."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

import mlx.core as mx
import numpy as np

from api.engine.sampling.state import Row
from api.step_plan import DRAFTED, DraftedTokens, Span, StepPlan


@dataclass(frozen=True, slots=True)
class Drafted:
    """The proposals of a plan's drafts, not evaluated yet: one sequence's behind another's."""

    sequence_ids: tuple[int, ...]
    counts: tuple[int, ...]  # of each sequence
    token_ids: mx.array  # int32 ``[sum(counts)]``

    def fill(self, spans: Iterable[Span], token_ids: mx.array) -> mx.array:
        """Puts the proposals in their places among a step's rows, int32 ``[rows]``."""
        first = dict(zip(self.sequence_ids, np.cumsum((0, *self.counts)).tolist(), strict=False))
        places, sources, row = [], [], 0
        for span in spans:
            drafted = [i for i, token_id in enumerate(span.token_ids) if token_id == DRAFTED]
            places += [row + i for i in drafted]
            sources += [first[span.sequence_id] + i for i in range(len(drafted))]
            row += span.num_tokens
        token_ids[mx.array(places)] = self.token_ids[mx.array(sources)]
        return token_ids

    def read(self) -> list[DraftedTokens]:
        """Waits for the device."""
        token_ids, news, first = np.array(self.token_ids).tolist(), [], 0
        for sequence_id, count in zip(self.sequence_ids, self.counts, strict=True):
            news.append(DraftedTokens(sequence_id, tuple(token_ids[first : first + count])))
            first += count
        return news


class Drafter(Protocol):
    """Keeps the draft model's KV, in slots as the plans change them."""

    def __call__(self, plan: StepPlan, rows: Sequence[Row]) -> Drafted | None:
        """Applies the plan's changes to the slots, and its drafts; None where they propose nothing.

        ``rows``: those of the plan that are sampled from. Prefill alone is lazy: ``state`` is to be
        evaluated with the step.
        """

    def state(self) -> list[mx.array]:
        """The arrays that must be evaluated with the step."""

    def reset(self) -> None:
        """Drops all state."""


class NoDrafter:
    """Without a draft model."""

    def __call__(self, plan: StepPlan, rows: Sequence[Row]) -> Drafted | None:
        return None

    def state(self) -> list[mx.array]:
        return []

    def reset(self) -> None: ...
