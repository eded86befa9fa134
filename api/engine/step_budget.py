"""How many prompt rows a step may read beside running streams, from the times of the steps before."""

from __future__ import annotations

from dataclasses import dataclass

from api.engine.row_sizes import padded_rows

_SMALLEST_CHUNK_TOKENS = 16
_WEIGHT = 0.4  # of the newest step in each average
_RISING_WEIGHT = 0.8  # of a step whose rows cost more than expected, as those behind a new prefix may
_FULL_WEIGHT_TOKENS = 64  # a step with fewer prompt rows says less about what one costs
# What a further row costs, as a share of an average row of its step: the estimate without any plain step to
# compare with, and the least to believe with one, which may have been slower than usual.
_USUAL_SHARE = 0.75
_LEAST_SHARE = 0.6


class StepBudget:
    """The stall target over the seconds that a further row takes is the room for prompts.

    What a row takes is the slope between the newest steps without prompts and those with them. It grows
    with the row's context, the tokens before it, as attention does.
    """

    def __init__(
        self,
        *,
        stall_seconds: float,
        max_step_tokens: int,
        first_chunk_tokens: int,
        row_multiple: int = 1,
        max_scored_rows: int = 64,
    ) -> None:
        """``row_multiple``: the forward fills its rows up to a multiple of this.

        ``max_scored_rows``: rows of a step that score prompts' tokens; each takes memory by the vocabulary.
        """
        self.max_step_tokens = max_step_tokens
        self.max_scored_rows = max_scored_rows
        self._rows = _RowCosts()
        self._plain_rows = 0.0  # of steps without prompts, on average; 0 before there was one
        self._plain_seconds = 0.0
        self._stall_seconds = stall_seconds
        self._first_chunk_tokens = first_chunk_tokens
        self._row_multiple = row_multiple

    @property
    def seconds_per_row(self) -> float:
        """Of a prompt row lately; 0 before any step that read prompts was timed."""
        return self._rows.seconds

    def observe(self, num_rows: int, num_prompt_rows: int, seconds: float, context: float = 0.0) -> None:
        """Takes the time of one step that ran without idling.

        ``context``: tokens before a prompt row, on average.
        """
        num_computed = padded_rows(num_rows, self._row_multiple)
        if num_prompt_rows:
            weight = min(1.0, num_prompt_rows / _FULL_WEIGHT_TOKENS)
            self._rows.observe(context, self._seconds_per_row(num_computed, seconds), weight)
        else:
            self._plain_rows = _average(self._plain_rows, num_computed, _WEIGHT)
            self._plain_seconds = _average(self._plain_seconds, seconds, _WEIGHT)

    def num_prompt_rows(self, num_decode_rows: int, context: int = 0) -> int:
        """Prompt rows for the next step, for a prompt that has ``context`` tokens behind it.

        At least one smallest chunk, so that prompts always advance.
        """
        most = self.max_step_tokens
        if num_decode_rows:
            most = min(most, padded_rows(num_decode_rows, self._row_multiple) + self._stall_rows(context))
        most -= most % self._row_multiple
        return max(most - num_decode_rows, min(_SMALLEST_CHUNK_TOKENS, self.max_step_tokens))

    def _seconds_per_row(self, num_rows: int, seconds: float) -> float:
        average, num_added = seconds / num_rows, num_rows - self._plain_rows
        if not self._plain_rows or num_added < _SMALLEST_CHUNK_TOKENS:
            return _USUAL_SHARE * average
        return max(_LEAST_SHARE * average, (seconds - self._plain_seconds) / num_added)

    def _stall_rows(self, context: int) -> int:
        seconds = self._rows.at(context)
        return self._first_chunk_tokens if seconds <= 0 else int(self._stall_seconds / seconds)


_GROWTH_WEIGHT = 0.05  # of the newest step in what is known of costs along prompts
# Contexts that differ by less than this say little about the growth: so much is added to their spread.
_FEWEST_SPREAD_TOKENS = 500.0
_LEAST_OF_NEWEST = 0.25  # rows of a shorter context are not taken to be cheaper than this part


@dataclass(slots=True)
class _RowCosts:
    """Seconds of a prompt row: a point that follows the newest steps, and a slow slope over the context."""

    seconds: float = 0.0  # 0: nothing was observed
    context: float = 0.0
    _mean_context: float = 0.0
    _mean_seconds: float = 0.0
    _variance: float = 0.0
    _covariance: float = 0.0

    def at(self, context: float) -> float:
        expected = self.seconds + self._growth * (context - self.context)
        return max(expected, _LEAST_OF_NEWEST * self.seconds)

    def observe(self, context: float, seconds: float, weight: float) -> None:
        """``weight``: up to 1, for a step that says as much as one can."""
        if not self.seconds:
            self.seconds, self.context = seconds, context
            self._mean_seconds, self._mean_context = seconds, context
            return
        share = weight * (_RISING_WEIGHT if seconds > self.at(context) else _WEIGHT)
        self.seconds += share * (seconds - self.seconds)
        self.context += share * (context - self.context)
        self._learn_growth(context, seconds, weight * _GROWTH_WEIGHT)

    @property
    def _growth(self) -> float:
        """Seconds for each token of context."""
        return max(0.0, self._covariance / (self._variance + _FEWEST_SPREAD_TOKENS**2))

    def _learn_growth(self, context: float, seconds: float, share: float) -> None:
        """Exponentially weighted moments, by the update of West 1979."""
        off_context, off_seconds = context - self._mean_context, seconds - self._mean_seconds
        self._mean_context += share * off_context
        self._mean_seconds += share * off_seconds
        self._variance = (1 - share) * (self._variance + share * off_context**2)
        self._covariance = (1 - share) * (self._covariance + share * off_context * off_seconds)


def _average(average: float, newest: float, weight: float) -> float:
    return average + weight * (newest - average) if average else newest
