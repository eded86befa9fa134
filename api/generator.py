"""The MLX batch generator: runs one planned step after another on the device."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import mlx.core as mx

from api.engine.device.dispatch import dispatch
from api.engine.draft.drafter import Drafted, Drafter, NoDrafter
from api.engine.forward.interface import Forward
from api.engine.sampling.prompt_scores import PromptScores, divide_rows
from api.engine.sampling.sampler import Sampler, Samples
from api.engine.sampling.state import Row, SamplingStates
from api.step_plan import Span, StepNews, StepPlan
from api.types import SamplingParams


@dataclass(frozen=True, slots=True)
class _Step:
    """What is to be read back of a step."""

    samples: Samples
    scores: PromptScores | None = None
    drafted: Drafted | None = None  # its samples depend on them: evaluated with these

    def arrays(self) -> list[mx.array]:
        return [*self.samples.arrays(), *(self.scores.arrays() if self.scores else ())]


@dataclass(frozen=True, slots=True)
class _Built:
    """A step whose forward is built, and not dispatched yet unless early."""

    logits: mx.array
    spans: Sequence[Span]
    rows: Sequence[Row]
    drafted: Drafted | None


class BatchGenerator:
    """Pipelined by one: ``step`` hands over a plan and returns the tokens of the plan before.

    A plan's forward is built while the step before it runs. It is dispatched as soon as that one's tokens
    are read, or before, which leaves the device no gap. But a buffer that a running kernel reads is not
    donated, so the writes of a step dispatched beside another may copy the KV of each layer: up to how many
    bytes this pays is measured.

    Where handing a step over takes as long as the step itself, as on MLX's CPU backend, ``step`` leaves that
    to ``dispatch``: what was read can be told first.

    Its sampling is built after the read, when every row's tokens are known on the host; where it is more
    than taking the best logits, that happens while the forward is in flight.

    All of it, the constructor included, belongs to one thread: MLX's streams are thread-local.
    """

    def __init__(
        self,
        forward: Forward,
        sampler: Sampler,
        release_memory: Callable[[], None] = mx.clear_cache,
        early_limit_bytes: float = 0,
        drafter: Drafter | None = None,
        leaves_dispatch: bool = False,
    ) -> None:
        """``release_memory`` is called when all is read and no sequence is left.

        ``early_limit_bytes``: of state, up to which a step is dispatched before the one before it is read.
        ``leaves_dispatch``: ``step`` returns before it dispatches.
        """
        self.early_limit_bytes = early_limit_bytes
        self._forward = forward
        self._drafter = drafter or NoDrafter()
        self._sampler = sampler
        self._release_memory = release_memory
        self._leaves_dispatch = leaves_dispatch
        self._states = SamplingStates()
        # The step in flight. It holds no array of the KV: whatever holds one keeps the next step from
        # writing in place.
        self._in_flight: _Step | None = None
        self._undispatched: _Built | None = None
        # time.monotonic() when the step before had ended; its dispatch of the next one may take long.
        self.read_seconds = 0.0

    def add(self, sequence_id: int, sampling: SamplingParams) -> None:
        """Takes what a sequence brings for its whole life, before the first plan that names it.

        Plans name it by its id alone, until one says that it has ended.
        """
        self._states.add(sequence_id, sampling)

    def step(self, plan: StepPlan) -> list[StepNews]:
        """Runs ``plan``; returns what the previous one drafted, scored and sampled ([] if it had no rows).

        Raises UnknownSequenceError for a span of a sequence that was not added or has ended, and whatever the
        forward or the device raises, for this plan or the previous one; call ``reset`` then. What concerns
        one row alone comes as that token's ``error``.
        """
        self.dispatch()
        self._states.release(plan.released)
        self._states.remove(plan.ended)
        rows = self._states.rows(plan.spans)
        drafted = self._drafter(plan, rows)
        token_ids = self._input_ids(plan.spans)
        logits = self._forward(plan, drafted.fill(plan.spans, token_ids) if drafted else token_ids)
        self._sampler.prepare(rows, logits.shape[-1])
        is_early = bool(plan.spans) and self._dispatch_early(logits)
        sampled = self._read()
        self.read_seconds = time.monotonic()
        if not is_early:
            self._forward.compute_saves()
        self._in_flight = None
        self._undispatched = _Built(logits, plan.spans, rows, drafted) if plan.spans else None
        if not self._leaves_dispatch:
            self.dispatch()
        if not plan.spans and not any(count for _, count in plan.num_slots):
            self._release_memory()
        return sampled

    def dispatch(self) -> None:
        """Hands the last plan to the device, if ``step`` has left that. Raises as ``step`` does."""
        if self._undispatched is not None:
            built, self._undispatched = self._undispatched, None
            self._in_flight = self._dispatch(built)

    def reset(self) -> None:
        """Forgets the step in flight and all sequences' state; what they brought stays, for they go on."""
        self._in_flight = self._undispatched = None
        self._sampler.prepare((), 0)  # no random numbers are kept for a step that does not come
        self._states.reset()
        self._forward.reset()
        self._drafter.reset()

    def _dispatch_early(self, logits: mx.array) -> bool:
        """Dispatches the forward beside the step in flight, where that pays; returns whether it did."""
        if not self.early_limit_bytes or self._in_flight is None:
            return False
        state = self._forward.state()
        if sum(array.nbytes for array in state) > self.early_limit_bytes:
            return False
        self._forward.compute_saves()
        dispatch(logits, *state)
        return True

    def _dispatch(self, built: _Built) -> _Step:
        pending = [*self._forward.state(), *self._drafter.state()]
        scores, logits = self._score(built.logits, built.spans)
        if not all(row.is_plain for row in built.rows):
            dispatch(logits, *pending)
            pending = []
        self._states.extend(built.spans)
        step = _Step(self._sample(logits, built.rows), scores, built.drafted)
        dispatch(*step.arrays(), *pending)
        return step

    def _score(self, logits: mx.array, spans: Sequence[Span]) -> tuple[PromptScores | None, mx.array]:
        """What the rows say that prompts are scored by, and the logits of those that are sampled from."""
        scoring, sampling = divide_rows(spans)
        if not scoring:
            return None, logits
        spans = [span for span in spans if span.scored_ids]
        num_top = [self._states.sampling(span.sequence_id).num_prompt_logprobs or 0 for span in spans]
        scores = self._sampler.score(logits[mx.array(scoring)], spans, num_top)
        return scores, logits[mx.array(sampling, dtype=mx.int32)]

    def _sample(self, logits: mx.array, rows: Sequence[Row]) -> Samples:
        if not rows:
            return Samples((), mx.zeros((0,), dtype=mx.int32))
        return self._sampler(logits, self._states.follow(rows))

    def _input_ids(self, spans: Sequence[Span]) -> mx.array:
        """The rows' tokens, int32 ``[rows]``: those in flight straight from the previous step's samples."""
        known = [token for span in spans for token in (span.token_ids or (-1,))]
        token_ids = mx.array(known, dtype=mx.int32)
        if self._in_flight is None or all(span.token_ids for span in spans):
            return token_ids
        samples = self._in_flight.samples
        index = {sequence_id: i for i, sequence_id in enumerate(samples.sequence_ids)}
        source = [
            0 if span.token_ids else index[span.sequence_id] for span in spans for _ in range(span.num_tokens)
        ]
        return mx.where(token_ids < 0, samples.token_ids[mx.array(source)], token_ids)

    def _read(self) -> list[StepNews]:
        step = self._in_flight
        if step is None:
            return []
        if not step.samples.sequence_ids:
            mx.synchronize()
        sampled = step.samples.read()
        for token in sampled:
            self._states.record(token.sequence_id, token.token_id)
        drafted = step.drafted.read() if step.drafted else ()
        return [*drafted, *(step.scores.read() if step.scores else ()), *sampled]
