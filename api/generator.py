"""The MLX batch generator: runs one planned step after another on the device."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import mlx.core as mx
import numpy as np

from api.engine.forward.interface import Forward
from api.engine.sampler import Sampler
from api.types import SampledToken, Span, StepPlan


@dataclass(frozen=True, slots=True)
class _Step:
    """A step whose graph is built; ``token_ids [rows]`` are the samples of ``sequence_ids``.

    It holds no array of the KV: whatever holds one keeps the next step from writing in place.
    """

    sequence_ids: tuple[int, ...]
    token_ids: mx.array


class BatchGenerator:
    """Pipelined by one: ``step`` hands over a plan and returns the tokens of the plan before.

    A plan's graph is built while the step before it runs, and dispatched as soon as that one's tokens
    are read. Not earlier: on every backend of MLX a buffer that a running kernel reads is not donated,
    so the writes of a step dispatched beside another would copy the KV of each layer.

    All of it, the constructor included, belongs to one thread: MLX's streams are thread-local.
    """

    def __init__(
        self, forward: Forward, sampler: Sampler, release_memory: Callable[[], None] = mx.clear_cache
    ) -> None:
        """``release_memory`` is called when all is read and no sequence is left."""
        self._forward = forward
        self._sampler = sampler
        self._release_memory = release_memory
        self._in_flight: _Step | None = None
        # time.monotonic() when the step before had ended; its dispatch of the next one may take long.
        self.read_seconds = 0.0

    def step(self, plan: StepPlan) -> list[SampledToken]:
        """Runs ``plan``; returns what the previous one sampled ([] if it had no rows).

        Raises whatever the forward or the device raises, for this plan or the previous one; call
        ``reset`` then.
        """
        step = self._build(plan)
        sampled = self._read()
        self.read_seconds = time.monotonic()
        self._dispatch(step)
        self._in_flight = step
        if step is None and not any(count for _, count in plan.num_slots):
            self._release_memory()
        return sampled

    def reset(self) -> None:
        """Forgets the step in flight and all sequences' state."""
        self._in_flight = None
        self._forward.reset()

    def _build(self, plan: StepPlan) -> _Step | None:
        logits = self._forward(plan, self._input_ids(plan.spans))
        if not plan.spans:
            return None
        sampling = [span for span in plan.spans if span.samples]
        token_ids = self._sampler(logits, sampling) if sampling else mx.zeros((0,), dtype=mx.int32)
        return _Step(tuple(s.sequence_id for s in sampling), token_ids)

    def _dispatch(self, step: _Step | None) -> None:
        if step is not None:
            mx.async_eval(step.token_ids, *self._forward.state())  # type: ignore[no-untyped-call]

    def _input_ids(self, spans: Sequence[Span]) -> mx.array:
        """The rows' tokens, int32 ``[rows]``: those in flight straight from the previous step's samples."""
        known = [token for span in spans for token in (span.token_ids or (-1,))]
        token_ids = mx.array(known, dtype=mx.int32)
        if self._in_flight is None or all(span.token_ids for span in spans):
            return token_ids
        index = {sequence_id: i for i, sequence_id in enumerate(self._in_flight.sequence_ids)}
        source = [
            0 if span.token_ids else index[span.sequence_id] for span in spans for _ in range(span.num_tokens)
        ]
        return mx.where(token_ids < 0, self._in_flight.token_ids[mx.array(source)], token_ids)

    def _read(self) -> list[SampledToken]:
        step = self._in_flight
        if step is None:
            return []
        if not step.sequence_ids:
            mx.synchronize()
        return [
            SampledToken(sequence_id, int(token_id))
            for sequence_id, token_id in zip(step.sequence_ids, np.array(step.token_ids), strict=True)
        ]
