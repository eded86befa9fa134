"""What drafting costs: steps that draft and verify against plain ones, and tokens that are only prefilled."""

from __future__ import annotations

from collections import deque
from statistics import median

from api.engine.budget.step_budget import StepBudget
from api.engine.speculation.verification_costs import StepKind, VerificationCosts

_WEIGHT = 0.3  # of the newest plain step, and of the newest draft
_NUM_REMEMBERED = 7  # steps of one kind
_NUM_CURRENT = 200  # drafting steps with as many sequences after which plain ones are timed anew
_LEAST_SHARE, _OVERHEAD_SHARE = 0.01, 0.03  # of a plain step
_MOST_LEFT_TOKENS = 4  # of a sequence: those of a draft, and of plain steps since
_LEAST_ROW_SHARE = 0.01  # of a plain step: what prefill takes at least
_SHARE_OF_ROW = 1 / 16  # of a plain step, for a token that is prefilled while none was timed


class DraftCosts:
    """Ratios to the seconds of a plain step with as many sequences, measured as it goes."""

    def __init__(self, verification: VerificationCosts, budget: StepBudget, draft_share: float) -> None:
        """``draft_share``: a first guess, by the weights: a draft's seconds in those of a plain step."""
        self._verification = verification
        self._budget = budget
        self._share = draft_share + _OVERHEAD_SHARE
        self._row_seconds = 0.0  # of a token that the draft model only prefills; 0: none was timed
        self._plain_seconds: dict[int, float] = {}  # decoding sequences -> on average
        self._num_since_plain: dict[int, int] = {}  # decoding sequences -> steps that drafted
        self._ratios: dict[tuple[int, int, int], deque[float]] = {}

    def plain_seconds(self, num_decoding: int) -> float:
        """0 where such a step is to be timed before anything is drafted."""
        if self._num_since_plain.get(num_decoding, 0) > _NUM_CURRENT:
            return 0.0
        return self._plain_seconds.get(num_decoding, 0.0)

    def row_seconds(self, num_decoding: int) -> float:
        """Of a token that the draft model prefills; before any was timed, by what the served model takes."""
        if self._row_seconds:
            return self._row_seconds
        of_served = self._budget.seconds_per_row or _SHARE_OF_ROW * self.plain_seconds(num_decoding)
        return self._share * of_served

    def prefill_seconds(self, kind: StepKind) -> float:
        """What a step has spent on tokens that were behind; the last few belong to drafting."""
        return kind.num_caught_up * self.row_seconds(kind.num_decoding) if _is_prefilling(kind) else 0.0

    def observe(self, kind: StepKind, seconds: float) -> None:
        """Takes the time of one step without prompt rows."""
        plain = self._plain_seconds.get(kind.num_decoding)
        if kind.is_plain:
            newest = seconds if plain is None else plain + _WEIGHT * (seconds - plain)
            self._plain_seconds[kind.num_decoding] = newest
            self._num_since_plain[kind.num_decoding] = 0
        elif plain and _is_prefilling(kind):
            self._learn_row(kind, seconds, plain)
        elif plain and kind.num_drafts:
            self._num_since_plain[kind.num_decoding] = self._num_since_plain.get(kind.num_decoding, 0) + 1
            self._learn(kind, seconds / plain)

    def slowdown(self, kind: StepKind) -> float | None:
        """How many plain steps such a step takes; None where no plain one was timed.

        The estimate has two votes among what was measured: a single step may be slow for other reasons.
        """
        verifying = self._verifying(kind)
        if verifying is None:
            return None
        estimate = verifying + kind.num_drafts * self._share
        ratios = self._ratios.get(_key(kind), ())
        return float(median([estimate, estimate, *ratios]))

    def _learn(self, kind: StepKind, ratio: float) -> None:
        self._ratios.setdefault(_key(kind), deque(maxlen=_NUM_REMEMBERED)).append(ratio)
        verifying = self._verifying(kind)
        if verifying is not None:
            share = max(_LEAST_SHARE, (ratio - verifying) / kind.num_drafts)
            self._share += _WEIGHT * (share - self._share)

    def _learn_row(self, kind: StepKind, seconds: float, plain: float) -> None:
        """What is left of the step's seconds beside those that it takes without prefill."""
        others = (self.slowdown(kind) or 1.0) if kind.num_drafts else 1.0
        newest = max(_LEAST_ROW_SHARE * plain, seconds - others * plain) / kind.num_caught_up
        self._row_seconds += (_WEIGHT if self._row_seconds else 1.0) * (newest - self._row_seconds)

    def _verifying(self, kind: StepKind) -> float | None:
        return self._verification.slowdown(StepKind(kind.num_decoding, kind.num_verifying, kind.num_proposed))


def _is_prefilling(kind: StepKind) -> bool:
    """Whether it prefills more than what the newest drafts left."""
    return kind.num_caught_up > _MOST_LEFT_TOKENS * kind.num_verifying


def _key(kind: StepKind) -> tuple[int, int, int]:
    return kind.num_decoding, kind.num_verifying, kind.num_drafts
