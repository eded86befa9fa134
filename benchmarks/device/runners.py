"""The engine and mlx-lm behind one face: put prompts in, step, take tokens out. No text, no HTTP."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator
from collections.abc import Sequence as Items
from dataclasses import dataclass
from typing import Protocol

import mlx.core as mx
import mlx.nn as nn
from mlx_lm.generate import BatchGenerator, generate_step

from api.assembly.engine import LoadedEngine
from api.engine.sequences.sequence import Sequence
from api.types import SamplingParams

GREEDY = SamplingParams(temperature=0.0)
Sampler = Callable[[mx.array], mx.array]


@dataclass(frozen=True, slots=True)
class Token:
    """One token of one sequence, as it was read."""

    sequence_id: int
    token_id: int
    seconds: float  # when, by time.perf_counter()


class Runner(Protocol):
    """Greedy answers to token ids."""

    def add(self, prompt: Items[int], max_tokens: int) -> int:
        """Puts a prompt in line; returns its number."""

    def step(self) -> list[Token]:
        """Tokens that the next forward, or the one before, brought."""

    @property
    def has_work(self) -> bool: ...

    def close(self) -> None:
        """Drops what is still running."""


class EngineRunner:
    """Scheduler and generator of the server, as its batch thread runs them."""

    def __init__(
        self, engine: LoadedEngine, *, uses_prefix_cache: bool = False, sampling: SamplingParams = GREEDY
    ) -> None:
        self._engine = engine
        self._uses_prefix_cache = uses_prefix_cache
        self._sampling = sampling
        # The engine may still know those of another runner.
        self._ids = itertools.count(time.perf_counter_ns())
        self._live: set[int] = set()
        self.num_cached: dict[int, int] = {}  # prompt tokens that the prefix cache had

    def add(self, prompt: Items[int], max_tokens: int, sampling: SamplingParams | None = None) -> int:
        """``sampling``: of this one; None: as all."""
        sequence_id, sampling = next(self._ids), sampling or self._sampling
        self._live.add(sequence_id)
        self._engine.generator.add(sequence_id, sampling)
        self._engine.scheduler.add(
            Sequence(
                sequence_id=sequence_id,
                request_id=str(sequence_id),
                token_ids=list(prompt),
                num_prompt_tokens=len(prompt),
                max_tokens=max_tokens,
                sampling=sampling,
                arrival_seconds=time.monotonic(),
                uses_prefix_cache=self._uses_prefix_cache,
            )
        )
        return sequence_id

    def step(self) -> list[Token]:
        """Raises what the engine says of a sequence that failed."""
        scheduler, generator = self._engine.scheduler, self._engine.generator
        sampled = generator.step(scheduler.schedule())
        outputs = scheduler.update(sampled, generator.read_seconds)
        now, tokens = time.perf_counter(), []
        for output in outputs:
            if output.error is not None:
                raise output.error
            sequence_id = int(output.request_id)
            if output.num_cached_tokens:
                self.num_cached[sequence_id] = output.num_cached_tokens
            if output.is_last:
                self._live.discard(sequence_id)
            if output.token_id is not None:
                tokens.append(Token(sequence_id, output.token_id, now))
        return tokens

    @property
    def has_work(self) -> bool:
        return self._engine.scheduler.has_work

    def cancel(self, sequence_id: int) -> None:
        self._engine.scheduler.cancel(str(sequence_id))
        self._live.discard(sequence_id)

    def close(self) -> None:
        for sequence_id in list(self._live):
            self.cancel(sequence_id)
        while self.has_work:
            self.step()


class MlxLmRunner:
    """mlx-lm's own continuous batching."""

    def __init__(self, plain: nn.Module, sampler: Sampler | None = None) -> None:
        """``sampler``: mlx-lm's; None: greedy."""
        self._generator = BatchGenerator(plain, sampler=sampler)
        self._live: set[int] = set()

    def add(self, prompt: Items[int], max_tokens: int) -> int:
        (number,) = self._generator.insert([list(prompt)], [max_tokens])
        self._live.add(number)
        return int(number)

    def step(self) -> list[Token]:
        _, responses = self._generator.next()
        now = time.perf_counter()
        self._live -= {response.uid for response in responses if response.finish_reason is not None}
        return [Token(response.uid, int(response.token), now) for response in responses]

    @property
    def has_work(self) -> bool:
        return bool(self._live)

    def close(self) -> None:
        self._generator.remove(list(self._live))
        self._live.clear()
        self._generator.close()


class StepRunner:
    """``mlx_lm.generate``'s loop for one prompt."""

    def __init__(self, plain: nn.Module, sampler: Sampler | None = None) -> None:
        """``sampler``: mlx-lm's; None: greedy."""
        self._plain = plain
        self._sampler = sampler
        self._tokens: Iterator[tuple[int, mx.array]] | None = None

    def add(self, prompt: Items[int], max_tokens: int) -> int:
        self._tokens = iter(
            generate_step(mx.array(list(prompt)), self._plain, max_tokens=max_tokens, sampler=self._sampler)
        )
        return 0

    def step(self) -> list[Token]:
        found = next(self._tokens, None) if self._tokens is not None else None
        if found is None:
            self._tokens = None
            return []
        return [Token(0, int(found[0]), time.perf_counter())]

    @property
    def has_work(self) -> bool:
        return self._tokens is not None

    def close(self) -> None:
        self._tokens = None
