"""How many prompt rows a step may read beside running streams, from the times of the steps before."""

from __future__ import annotations

_SMALLEST_CHUNK_TOKENS = 16
_WEIGHT = 0.15  # of the newest step in each average


class _Average:
    """Exponential averages of the rows and the seconds of one kind of step."""

    def __init__(self) -> None:
        self.num_rows = 0.0
        self.seconds = 0.0
        self.count = 0

    def add(self, num_rows: int, seconds: float) -> None:
        weight = max(_WEIGHT, 1 / (self.count + 1))
        self.num_rows += weight * (num_rows - self.num_rows)
        self.seconds += weight * (seconds - self.seconds)
        self.count += 1


class StepBudget:
    """Steps take about ``a + b * rows`` seconds; the stall target over ``b`` is the room for prompts.

    The line goes through two points: the average step of decode rows alone and the average step that
    also read prompts. Until both are known, the whole step counts as the rows' doing: cautious.
    """

    def __init__(self, *, stall_seconds: float, max_step_tokens: int, first_chunk_tokens: int) -> None:
        self.max_step_tokens = max_step_tokens
        self._stall_seconds = stall_seconds
        self._first_chunk_tokens = first_chunk_tokens
        self._decode = _Average()
        self._mixed = _Average()

    def observe(self, num_rows: int, num_prompt_rows: int, seconds: float) -> None:
        """Takes the time of one step that ran without idling."""
        (self._mixed if num_prompt_rows else self._decode).add(num_rows, seconds)

    def num_prompt_rows(self, num_decode_rows: int) -> int:
        """Prompt rows for the next step; at least one smallest chunk, so that prompts always advance."""
        room = self.max_step_tokens - num_decode_rows
        if num_decode_rows:
            room = min(room, self._stall_rows())
        return max(room, min(_SMALLEST_CHUNK_TOKENS, self.max_step_tokens))

    def _stall_rows(self) -> int:
        seconds = self.seconds_per_row
        return self._first_chunk_tokens if seconds <= 0 else int(self._stall_seconds / seconds)

    @property
    def seconds_per_row(self) -> float:
        """What one more row costs; 0 before any step that read prompts was timed."""
        mixed, decode = self._mixed, self._decode
        if not mixed.count:
            return 0.0
        rows, seconds = mixed.num_rows - decode.num_rows, mixed.seconds - decode.seconds
        if decode.count and rows > _SMALLEST_CHUNK_TOKENS / 2 and seconds > 0:
            return seconds / rows
        return mixed.seconds / mixed.num_rows
