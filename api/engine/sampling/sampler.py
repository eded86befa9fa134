"""Takes the next tokens of a batch from its logits: every parameter belongs to a row, not to the batch.

The rows' logits are changed first (``penalties``, then ``constraint``), then each row takes its best token or
draws one (``draw``); log-probabilities are of the changed logits.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import mlx.core as mx
import numpy as np

from api.engine.device.platform import Platform
from api.engine.sampling.constraint import MaskBuilder
from api.engine.sampling.draw import draw_from_candidates, draw_from_vocabulary, has_few_candidates
from api.engine.sampling.logprobs import Logprobs, compute_logprobs
from api.engine.sampling.penalties import change_logits
from api.engine.sampling.prompt_scores import PromptScores, score_prompts
from api.engine.sampling.state import Row
from api.errors import ServerSideError
from api.step_plan import SampledToken, Span
from api.types import SamplingParams

# From some rows' logits and the rows to their tokens.
_Way = Callable[[mx.array, Sequence[Row]], mx.array]


@dataclass(frozen=True, slots=True)
class Samples:
    """A step's tokens, not evaluated yet: ``token_ids``, int32 ``[rows]``, can feed the next step."""

    sequence_ids: tuple[int, ...]
    token_ids: mx.array
    logprobs: Logprobs | None = None
    errors: Mapping[int, ServerSideError] | None = None  # row -> why its token is none

    def arrays(self) -> list[mx.array]:
        """What must be evaluated with the step."""
        return [self.token_ids, *(self.logprobs.arrays() if self.logprobs else ())]

    def read(self) -> list[SampledToken]:
        """Waits for the device."""
        token_ids = np.array(self.token_ids).tolist()
        logprobs = self.logprobs.read() if self.logprobs else {}
        errors = self.errors or {}
        return [
            SampledToken(sequence_id, token_id, logprobs.get(row), errors.get(row))
            for row, (sequence_id, token_id) in enumerate(zip(self.sequence_ids, token_ids, strict=True))
        ]


class Sampler:
    """Samples on the device; only masks are made on the host."""

    def __init__(self, platform: Platform) -> None:
        self._exp = platform.exp
        self.noise = platform.noise
        self._build_masks = MaskBuilder()
        self._ahead: dict[_Way, mx.array] = {}  # random numbers of the next call

    def prepare(self, rows: Sequence[Row], vocab_size: int) -> None:
        """Makes the next call's random numbers: they depend on no logits, so a step can be under way."""
        groups: dict[_Way, list[Row]] = {}
        for row in rows:
            groups.setdefault(self._way(row.sampling), []).append(row)
        drawn = [way for way in (self._draw, self._draw_filtered) if way in groups]
        self._ahead = {way: self.noise(groups[way], vocab_size) for way in drawn}

    def __call__(self, logits: mx.array, rows: Sequence[Row]) -> Samples:
        """``logits [rows, vocabulary]`` in any precision."""
        sequence_ids = tuple(row.sequence_id for row in rows)
        if all(row.is_plain for row in rows):
            return Samples(sequence_ids, _take_best(logits, ()))
        scores = change_logits(logits.astype(mx.float32), rows)
        scores = self._mask(scores, rows)
        token_ids = self._choose(scores, rows)
        logprobs = compute_logprobs(scores, token_ids, rows, self._exp)
        errors = {index: row.error for index, row in enumerate(rows) if row.error}
        return Samples(sequence_ids, token_ids, logprobs, errors)

    def score(self, logits: mx.array, spans: Sequence[Span], num_top: Sequence[int]) -> PromptScores:
        """``logits [rows, vocabulary]``: those of the rows by which ``spans`` score tokens of prompts."""
        return score_prompts(logits, spans, num_top, self._exp)

    def _mask(self, scores: mx.array, rows: Sequence[Row]) -> mx.array:
        masked = {i: row.constraint for i, row in enumerate(rows) if row.constraint and row.has_mask}
        if not masked:
            return scores
        banned = [rows[i].banned_token_ids for i in masked]
        allowed = mx.array(self._build_masks(list(masked.values()), banned, scores.shape[-1]))
        if len(masked) == len(rows):
            return mx.where(allowed, scores, -mx.inf)
        index = mx.array(list(masked))
        scores[index] = mx.where(allowed, scores[index], -mx.inf)
        return scores

    def _choose(self, scores: mx.array, rows: Sequence[Row]) -> mx.array:
        """Each row by its own way, int32 ``[rows]``."""
        ways: dict[_Way, list[int]] = {}
        for index, row in enumerate(rows):
            ways.setdefault(self._way(row.sampling), []).append(index)
        if len(ways) == 1:
            return next(iter(ways))(scores, rows)
        parts = [way(scores[mx.array(group)], [rows[i] for i in group]) for way, group in ways.items()]
        return mx.concatenate(parts)[mx.array(np.argsort([i for group in ways.values() for i in group]))]

    def _way(self, sampling: SamplingParams) -> _Way:
        if sampling.is_greedy:
            return _take_best
        if has_few_candidates(sampling):
            return draw_from_candidates
        return self._draw_filtered if sampling.top_k or sampling.top_p < 1 else self._draw

    def _draw(self, scores: mx.array, rows: Sequence[Row]) -> mx.array:
        return self._draw_by(self._draw, scores, rows)

    def _draw_filtered(self, scores: mx.array, rows: Sequence[Row]) -> mx.array:
        """The same, for rows of their own: so none has to be taken out of the others and put back."""
        return self._draw_by(self._draw_filtered, scores, rows)

    def _draw_by(self, way: _Way, scores: mx.array, rows: Sequence[Row]) -> mx.array:
        noise = self._ahead.pop(way, None)
        if noise is None:
            noise = self.noise(rows, scores.shape[-1])
        return draw_from_vocabulary(scores, rows, noise, self._exp)


def _take_best(logits: mx.array, rows: Sequence[Row]) -> mx.array:
    return mx.argmax(logits, axis=-1).astype(mx.int32)
