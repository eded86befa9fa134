"""Steps of made-up sequences through the generator, for timing them. Belongs to the batch thread."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Protocol

from api.step_plan import Slot, Span, StepPlan
from api.types import SamplingParams

GREEDY = SamplingParams(temperature=0.0)
_NUM_WARM_UP_STEPS = 3  # until a step's trace is made
MAX_DECODE_STEPS = 64 - 2 - _NUM_WARM_UP_STEPS  # in the smallest class
_FIRST_ID = -1  # and below: no request's sequence has such an id


class StepRunner(Protocol):
    """The generator, as far as timing it needs."""

    def add(self, sequence_id: int, sampling: SamplingParams) -> None: ...

    def step(self, plan: StepPlan) -> object: ...

    def reset(self) -> None: ...


@dataclass(frozen=True, slots=True)
class DecodeRows:
    """So many sequences that decode in slots of one length class."""

    num_rows: int
    capacity: int = 64
    sampling: SamplingParams = GREEDY


class TimedSteps:
    """Runs steps one behind another, as the batch thread does, and says what one takes.

    The generator is empty before and after.
    """

    def __init__(self, generator: StepRunner) -> None:
        self._generator = generator

    def decode_seconds(self, rows: DecodeRows, num_steps: int) -> float:
        """Of one decode step on average; the first ones, which make arrays and kernels, do not count.

        ``num_steps`` and what comes before must fit the class.
        """
        self._start(rows)
        for index in range(_NUM_WARM_UP_STEPS):
            self._generator.step(_decode_plan(rows, index))
        started_seconds = time.perf_counter()
        for index in range(_NUM_WARM_UP_STEPS, _NUM_WARM_UP_STEPS + num_steps):
            self._generator.step(_decode_plan(rows, index))
        seconds = time.perf_counter() - started_seconds
        # The last one is waited for: it would run into what is timed next.
        self._end(rows.num_rows, ((rows.capacity, rows.num_rows),))
        return seconds / num_steps

    def chunk_seconds(self, num_rows: int, num_steps: int) -> float:
        """Of one step with so many rows of one prompt from its beginning, on average."""
        plans = [_chunk_plan(num_rows, index) for index in range(num_steps + 1)]
        self._add(len(plans), GREEDY)
        self._generator.step(plans[0])
        self._generator.step(StepPlan(num_slots=plans[0].num_slots))
        started_seconds = time.perf_counter()
        for plan in plans[1:]:
            self._generator.step(plan)
        self._generator.step(StepPlan(num_slots=plans[0].num_slots))
        seconds = time.perf_counter() - started_seconds
        self._end(len(plans), plans[0].num_slots)
        return seconds / num_steps

    def _start(self, rows: DecodeRows) -> None:
        """A short prompt for each: recurrent state has to be there before rows can share a forward."""
        self._add(rows.num_rows, rows.sampling)
        spans = tuple(_span(rows, row, 0, (row % 7, 1), 0) for row in range(rows.num_rows))
        self._generator.step(StepPlan(spans=spans, num_slots=((rows.capacity, rows.num_rows),)))

    def _add(self, num_sequences: int, sampling: SamplingParams) -> None:
        for index in range(num_sequences):
            self._generator.add(_FIRST_ID - index, sampling)

    def _end(self, num_sequences: int, num_slots: tuple[tuple[int, int], ...]) -> None:
        ids = tuple(_FIRST_ID - index for index in range(num_sequences))
        self._generator.step(StepPlan(released=ids, ended=ids, num_slots=num_slots))
        self._generator.reset()


def _decode_plan(rows: DecodeRows, index: int) -> StepPlan:
    spans = tuple(_span(rows, row, 2 + index, (), 1 + index) for row in range(rows.num_rows))
    return StepPlan(spans=spans, num_slots=((rows.capacity, rows.num_rows),))


def _span(rows: DecodeRows, row: int, start: int, token_ids: tuple[int, ...], sample_index: int) -> Span:
    slot = Slot(rows.capacity, row)
    return Span(_FIRST_ID - row, slot, start, token_ids, 1, sample_index)


def _chunk_plan(num_rows: int, index: int) -> StepPlan:
    """Each is another sequence in the same slot."""
    token_ids = tuple(row % 7 for row in range(num_rows))
    span = Span(_FIRST_ID - index, Slot(max(64, num_rows), 0), 0, token_ids, 1, 0)
    return StepPlan(spans=(span,), num_slots=((max(64, num_rows), 1),))
