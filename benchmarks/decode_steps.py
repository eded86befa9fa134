"""Decode steps of several engines over the same model, for timing them in turns."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from api.engine.sequence import Sequence
from api.types import SamplingParams

PROMPT = tuple(range(1000, 1016))
TEMPERATURE = 0.8
MAX_TOKENS = 4000  # more than anybody counts
STEPS_A_TURN = 5
NUM_WARM_UP_STEPS = 6

Step = Callable[[], object]


@dataclass(slots=True)
class Turns:
    """Steps of several engines in turn, so that whatever else the machine does meets all alike."""

    steps: dict[str, Step]
    milliseconds: dict[str, list[float]] = field(default_factory=dict)  # of a step: one for each turn

    def run(self, num_turns: int) -> None:
        for step in self.steps.values():
            for _ in range(NUM_WARM_UP_STEPS):
                step()
        names = list(self.steps)
        for turn in range(num_turns):
            first = turn % len(names)
            for name in names[first:] + names[:first]:
                self.milliseconds.setdefault(name, []).append(_milliseconds(self.steps[name]))

    def median(self, name: str) -> float:
        return median(self.milliseconds[name])

    def ratio(self, name: str, reference: str) -> float:
        """Median of the turns' ratios: a drift of the machine cancels out."""
        pairs = zip(self.milliseconds[name], self.milliseconds[reference], strict=True)
        return median(ours / theirs for ours, theirs in pairs)


def _milliseconds(step: Step) -> float:
    started = time.perf_counter()
    for _ in range(STEPS_A_TURN):
        step()
    return 1000 * (time.perf_counter() - started) / STEPS_A_TURN


class ProjectBatch:
    """Sequences that do not end, in an engine that has no others."""

    def __init__(self, engine: Any, sampling: list[SamplingParams], first_id: int) -> None:
        """``first_id``: of so many sequences, which the engine has not had before."""
        self._engine = engine
        self._ids = range(first_id, first_id + len(sampling))
        for sequence_id, each in zip(self._ids, sampling, strict=True):
            sequence = Sequence(
                sequence_id=sequence_id,
                request_id=str(sequence_id),
                token_ids=list(PROMPT),
                num_prompt_tokens=len(PROMPT),
                max_tokens=MAX_TOKENS,
                sampling=each,
            )
            engine.scheduler.add(sequence)

    def step(self) -> object:
        sampled = self._engine.generator.step(self._engine.scheduler.schedule())
        return self._engine.scheduler.update(sampled, self._engine.generator.read_seconds)

    def end(self) -> None:
        for sequence_id in self._ids:
            self._engine.scheduler.cancel(str(sequence_id))
        while self._engine.scheduler.has_work:
            self.step()


def batch_generator(model: Any, num_rows: int, temperature: float) -> Step:
    """mlx-lm's continuous batching."""
    from mlx_lm.generate import BatchGenerator
    from mlx_lm.sample_utils import make_sampler

    generator = BatchGenerator(model, max_tokens=MAX_TOKENS, sampler=make_sampler(temperature))
    generator.insert([list(PROMPT) for _ in range(num_rows)])
    return lambda: generator.next()


def single_stream(model: Any, temperature: float) -> Step:
    """mlx-lm's loop for one stream."""
    import mlx.core as mx
    from mlx_lm.generate import generate_step
    from mlx_lm.sample_utils import make_sampler

    sampler = make_sampler(temperature)
    steps = generate_step(mx.array(PROMPT), model, max_tokens=MAX_TOKENS, sampler=sampler)
    return lambda: next(steps)
