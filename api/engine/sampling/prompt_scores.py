"""Log-probabilities of a prompt's own tokens: each given all before it, by the model's plain logits.

A step's rows are reduced at once, so what stays of them is a few numbers for each token.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import mlx.core as mx
import numpy as np

from api.engine.sampling.filters import top_candidates
from api.engine.sampling.logprobs import MAX_TOP_LOGPROBS, log_sums, sampled_logprobs
from api.step_plan import SampledLogprobs, ScoredTokens, Span

# What the rows with logits of one step may take: the logits, in float32 too, and what is made of them.
_MOST_BYTES = 256 * 1024**2
_BYTES_PER_LOGIT = 16
_FEWEST_ROWS = 16


def most_scored_rows(vocab_size: int) -> int:
    """Rows of one step whose logits may be looked at for the sake of prompts."""
    return max(_FEWEST_ROWS, _MOST_BYTES // (_BYTES_PER_LOGIT * vocab_size))


@dataclass(frozen=True, slots=True)
class PromptScores:
    """Those of one step, not evaluated yet; the arrays have a row for each scored token."""

    spans: tuple[Span, ...]  # that score any
    num_top: tuple[int, ...]  # alternatives to each token, for each span
    chosen: mx.array  # float32 [rows]
    ranks: mx.array  # int32 [rows]
    top_values: mx.array  # float32 [rows, candidates], best first; as top_ids
    top_ids: mx.array

    def arrays(self) -> list[mx.array]:
        """What must be evaluated with the step."""
        return [self.chosen, self.ranks, self.top_values, self.top_ids]

    def read(self) -> list[ScoredTokens]:
        """Waits for the device; one value for each span."""
        columns = [np.array(array).tolist() for array in self.arrays()]
        rows = zip(*columns, strict=True)
        return [
            _scored_tokens(span, num_top, rows)
            for span, num_top in zip(self.spans, self.num_top, strict=True)
        ]


def score_prompts(
    logits: mx.array, spans: Sequence[Span], num_top: Sequence[int], exp: Callable[[mx.array], mx.array]
) -> PromptScores:
    """``logits``: those of the rows that score, in the order of ``spans``, all of which have some.

    ``num_top``: how many alternatives to each token are wanted, for each span.
    """
    scores = logits.astype(mx.float32)
    token_ids = mx.array([token_id for span in spans for token_id in span.scored_ids], dtype=mx.int32)
    total = log_sums(scores, exp)
    own = mx.take_along_axis(scores, token_ids[:, None], axis=-1)
    top_values, top_ids = top_candidates(scores, MAX_TOP_LOGPROBS if any(num_top) else 1)
    return PromptScores(
        spans=tuple(spans),
        num_top=tuple(num_top),
        chosen=(own - total)[:, 0],
        ranks=1 + mx.sum(scores > own, axis=-1).astype(mx.int32),
        top_values=top_values - total,
        top_ids=top_ids,
    )


def divide_rows(spans: Sequence[Span]) -> tuple[list[int], list[int]]:
    """Which rows of a step's logits score tokens, and which are sampled from."""
    scoring: list[int] = []
    sampling: list[int] = []
    row = 0
    for span in spans:
        first_sample = row + len(span.scored_ids)
        scoring += range(row, first_sample)
        row += span.num_logits
        sampling += range(first_sample, row)
    return scoring, sampling


def _scored_tokens(
    span: Span, num_top: int, rows: Iterator[tuple[float, int, list[float], list[int]]]
) -> ScoredTokens:
    start = span.start + span.num_tokens - span.num_logits + 1
    own = (next(rows) for _ in span.scored_ids)
    return ScoredTokens(span.sequence_id, start, tuple(_logprobs(num_top, *row) for row in own))


def _logprobs(
    num_top: int, chosen: float, rank: int, top_values: list[float], top_ids: list[int]
) -> SampledLogprobs:
    return sampled_logprobs(num_top, chosen, top_ids, top_values, rank)
