"""How many prompt rows a step may read beside running streams, from the times of the steps before."""

from __future__ import annotations

_SMALLEST_CHUNK_TOKENS = 16
_WEIGHT = 0.4  # of the newest step in each average: a long prompt's rows cost more from chunk to chunk
# A prompt row is never taken to cost less than this share of an average row of its step: the decode
# steps that it is compared with may have been slower than usual.
_LEAST_SHARE = 0.6


class StepBudget:
    """The stall target over the seconds that a prompt row adds to a step is the room for prompts.

    What a row adds: the time of a step with prompts less that of a decode step, over its prompt rows.
    """

    def __init__(self, *, stall_seconds: float, max_step_tokens: int, first_chunk_tokens: int) -> None:
        self.max_step_tokens = max_step_tokens
        self.seconds_per_row = 0.0  # of a prompt row; 0 before any step that read prompts was timed
        self._decode_seconds = 0.0  # of a step without prompts; 0 before there was one
        self._stall_seconds = stall_seconds
        self._first_chunk_tokens = first_chunk_tokens

    def observe(self, num_rows: int, num_prompt_rows: int, seconds: float) -> None:
        """Takes the time of one step that ran without idling."""
        if not num_prompt_rows:
            self._decode_seconds = _average(self._decode_seconds, seconds)
            return
        base_seconds = self._decode_seconds if num_rows > num_prompt_rows else 0.0
        added = (seconds - base_seconds) / num_prompt_rows
        newest = max(added, _LEAST_SHARE * seconds / num_rows)
        self.seconds_per_row = _average(self.seconds_per_row, newest)

    def num_prompt_rows(self, num_decode_rows: int) -> int:
        """Prompt rows for the next step; at least one smallest chunk, so that prompts always advance."""
        room = self.max_step_tokens - num_decode_rows
        if num_decode_rows:
            room = min(room, self._stall_rows())
        return max(room, min(_SMALLEST_CHUNK_TOKENS, self.max_step_tokens))

    def _stall_rows(self) -> int:
        seconds = self.seconds_per_row
        return self._first_chunk_tokens if seconds <= 0 else int(self._stall_seconds / seconds)


def _average(average: float, newest: float) -> float:
    return average + _WEIGHT * (newest - average) if average else newest
