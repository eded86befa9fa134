"""A runner over a schedule: which sequences get a token in which step, and how long each step takes."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.device.runners import Token


class FakeRunner:
    """Each step takes ``step_seconds`` on its own clock and brings a token to all whose prompt is read.

    ``rows_a_step``: of prompts, read one after another; what a step reads it takes ``row_seconds`` for.
    """

    def __init__(self, step_seconds: float, rows_a_step: int, row_seconds: float = 0.0) -> None:
        self.now = 1000.0
        self.is_closed = False
        self._step_seconds = step_seconds
        self._rows_a_step = rows_a_step
        self._row_seconds = row_seconds
        self._left: dict[int, int] = {}  # prompt tokens that are not read yet
        self._tokens: dict[int, int] = {}  # answer tokens that are still to come

    def clock(self) -> float:
        return self.now

    def add(self, prompt: Sequence[int], max_tokens: int) -> int:
        number = len(self._left)
        self._left[number], self._tokens[number] = len(prompt), max_tokens
        return number

    def step(self) -> list[Token]:
        decoding = [n for n, left in self._left.items() if not left and self._tokens[n]]
        rows = self._rows_a_step
        for number, left in self._left.items():
            read = min(left, rows)
            self._left[number] -= read
            rows -= read
        self.now += self._step_seconds + self._row_seconds * (self._rows_a_step - rows)
        for number in decoding:
            self._tokens[number] -= 1
        return [Token(number, 7, self.now) for number in decoding]

    @property
    def has_work(self) -> bool:
        return any(self._tokens.values())

    def close(self) -> None:
        self.is_closed = True
