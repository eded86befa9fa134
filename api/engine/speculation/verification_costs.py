"""What a step takes in which sequences verify proposals, compared with a plain one: measured as it goes."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from statistics import median

from api.engine.budget.step_budget import StepBudget
from api.engine.device.row_sizes import padded_rows

# Numbers of proposals in a step that are worth telling apart.
_SIZES = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128)
_WEIGHT = 0.3  # of the newest plain step
_NUM_REMEMBERED = 7  # steps of one kind
_NUM_FORGOTTEN_AFTER = 500  # plain steps after which what was measured may no longer hold
# The estimate before anything was measured, in plain steps: for the overlap with the host that is lost, since
# nothing can be planned before such a step is read, and for each sequence's attention of its own.
_LOST_OVERLAP = 0.05
_SPAN_SHARE = 0.04
_SHARE_OF_ROW = 1 / 16  # and for a row, while no prompt was timed


@dataclass(frozen=True, slots=True)
class StepKind:
    """What the time of a step without prompt rows depends on."""

    num_decoding: int  # sequences, each with one row of its own
    num_verifying: int = 0  # of these, with proposals
    num_proposed: int = 0  # rows for proposals
    num_drafts: int = 0  # forwards of the draft model, one behind another
    num_caught_up: int = 0  # tokens that it read, but for the newest ones of those that it drafted for

    @property
    def is_plain(self) -> bool:
        return not (self.num_proposed or self.num_drafts or self.num_caught_up)


@dataclass(slots=True)
class _Measured:
    ratios: deque[float] = field(default_factory=lambda: deque(maxlen=_NUM_REMEMBERED))
    at_plain_step: int = 0


class VerificationCosts:
    """Ratios of a verifying step's seconds to those of a plain step with as many sequences."""

    def __init__(self, budget: StepBudget, row_multiple: int = 1) -> None:
        """``row_multiple``: the forward fills its rows up to a multiple of this."""
        self._budget = budget
        self._row_multiple = row_multiple
        self._plain_seconds: dict[int, float] = {}  # decoding sequences -> on average
        self._lost_seconds = 0.0  # on average, where a plain step is planned only after the one before
        self._num_plain_steps = 0
        self._measured: dict[StepKind, _Measured] = {}

    def observe(self, kind: StepKind, seconds: float, is_overlapped: bool = True) -> None:
        """Takes the time of one step that ran without idling.

        ``is_overlapped``: it was planned while the step before ran. A plain one that was not follows one that
        verified: what it takes longer for that reason is the other one's cost.
        """
        plain = self._plain_seconds.get(kind.num_decoding)
        if kind.num_proposed:
            if plain:
                self._add_measured(kind, seconds / plain)
            return
        self._num_plain_steps += 1
        if plain and not is_overlapped:
            lost = max(0.0, min(seconds - plain, plain))
            self._lost_seconds += _WEIGHT * (lost - self._lost_seconds)
            return
        newest = seconds if plain is None else plain + _WEIGHT * (seconds - plain)
        self._plain_seconds[kind.num_decoding] = newest

    def _add_measured(self, kind: StepKind, ratio: float) -> None:
        measured = self._measured.setdefault(self._rounded(kind), _Measured())
        measured.ratios.append(ratio)
        measured.at_plain_step = self._num_plain_steps

    def slowdown(self, kind: StepKind) -> float | None:
        """How many times a plain step's seconds such a step takes; None while no plain step was timed.

        The estimate has two votes among what was measured: a single step may be slow for other reasons.
        """
        plain = self._plain_seconds.get(kind.num_decoding)
        if not plain:
            return None
        lost = self._lost_seconds / plain
        estimate = self._estimate(kind, plain) + lost
        measured = self._measured.get(self._rounded(kind))
        if measured is None or self._num_plain_steps - measured.at_plain_step > _NUM_FORGOTTEN_AFTER:
            self._measured.pop(self._rounded(kind), None)
            return estimate
        return median([estimate, estimate, *(ratio + lost for ratio in measured.ratios)])

    def sizes(self, num_decoding: int, num_available: int) -> list[int]:
        """Numbers of proposals to choose from, those that fill the padding: its rows cost little."""
        most = min(num_available, self._budget.max_step_tokens - num_decoding)
        filled = (self._filled(num_decoding, size) for size in (*_SIZES, most) if size <= most)
        return sorted({min(size, most) for size in filled if size > 0})

    def _rounded(self, kind: StepKind) -> StepKind:
        size = next((size for size in _SIZES if size >= kind.num_proposed), kind.num_proposed)
        return StepKind(kind.num_decoding, kind.num_verifying, self._filled(kind.num_decoding, size))

    def _filled(self, num_decoding: int, num_proposed: int) -> int:
        return padded_rows(num_decoding + num_proposed, self._row_multiple) - num_decoding

    def _estimate(self, kind: StepKind, plain_seconds: float) -> float:
        num_rows = kind.num_decoding + self._filled(kind.num_decoding, kind.num_proposed)
        num_plain_rows = kind.num_decoding + self._filled(kind.num_decoding, 0)
        added_seconds = self._budget.added_seconds(num_plain_rows, num_rows)
        if added_seconds is None:
            added_seconds = (num_rows - num_plain_rows) * _SHARE_OF_ROW * plain_seconds
        rows = added_seconds / plain_seconds
        return 1 + _LOST_OVERLAP + _SPAN_SHARE * kind.num_verifying + rows
