"""How many prompt rows a step may read beside running streams, from the times of the steps before."""

from __future__ import annotations

from api.engine.row_sizes import padded_rows

_SMALLEST_CHUNK_TOKENS = 16
_WEIGHT = 0.4  # of the newest step in each average
_RISING_WEIGHT = 0.8  # of a step whose rows cost more than before, as a long prompt's do from chunk to chunk
_FULL_WEIGHT_TOKENS = 64  # a step with fewer prompt rows says less about what one costs
# What a further row costs, as a share of an average row of its step: the estimate without any plain step to
# compare with, and the least to believe with one, which may have been slower than usual.
_USUAL_SHARE = 0.75
_LEAST_SHARE = 0.6


class StepBudget:
    """The stall target over the seconds that a further row takes is the room for prompts.

    What a row takes is the slope between the newest steps without prompts and those with them.
    """

    def __init__(
        self, *, stall_seconds: float, max_step_tokens: int, first_chunk_tokens: int, row_multiple: int = 1
    ) -> None:
        """``row_multiple``: the forward fills its rows up to a multiple of this."""
        self.max_step_tokens = max_step_tokens
        self.seconds_per_row = 0.0  # of a prompt row; 0 before any step that read prompts was timed
        self._plain_rows = 0.0  # of steps without prompts, on average; 0 before there was one
        self._plain_seconds = 0.0
        self._stall_seconds = stall_seconds
        self._first_chunk_tokens = first_chunk_tokens
        self._row_multiple = row_multiple

    def observe(self, num_rows: int, num_prompt_rows: int, seconds: float) -> None:
        """Takes the time of one step that ran without idling."""
        num_computed = padded_rows(num_rows, self._row_multiple)
        if num_prompt_rows:
            newest = self._seconds_per_row(num_computed, seconds)
            weight = _RISING_WEIGHT if newest > self.seconds_per_row else _WEIGHT
            weight *= min(1.0, num_prompt_rows / _FULL_WEIGHT_TOKENS)
            self.seconds_per_row = _average(self.seconds_per_row, newest, weight)
        else:
            self._plain_rows = _average(self._plain_rows, num_computed, _WEIGHT)
            self._plain_seconds = _average(self._plain_seconds, seconds, _WEIGHT)

    def num_prompt_rows(self, num_decode_rows: int) -> int:
        """Prompt rows for the next step; at least one smallest chunk, so that prompts always advance."""
        most = self.max_step_tokens
        if num_decode_rows:
            most = min(most, padded_rows(num_decode_rows, self._row_multiple) + self._stall_rows())
        most -= most % self._row_multiple
        return max(most - num_decode_rows, min(_SMALLEST_CHUNK_TOKENS, self.max_step_tokens))

    def _seconds_per_row(self, num_rows: int, seconds: float) -> float:
        average, num_added = seconds / num_rows, num_rows - self._plain_rows
        if not self._plain_rows or num_added < _SMALLEST_CHUNK_TOKENS:
            return _USUAL_SHARE * average
        return max(_LEAST_SHARE * average, (seconds - self._plain_seconds) / num_added)

    def _stall_rows(self) -> int:
        seconds = self.seconds_per_row
        return self._first_chunk_tokens if seconds <= 0 else int(self._stall_seconds / seconds)


def _average(average: float, newest: float, weight: float) -> float:
    return average + weight * (newest - average) if average else newest
