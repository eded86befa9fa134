"""Log-probabilities of the rows that ask for them, computed on the device, read with the tokens."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import mlx.core as mx
import numpy as np

from api.engine.sampling.filters import in_parts, row_maxima, row_sums, top_candidates
from api.engine.sampling.state import Row
from api.step_plan import SampledLogprobs

# Found for every row that asks for any, so that a row's order among ties is its own.
MAX_TOP_LOGPROBS = 20
# What OpenAI reports for a token that cannot come: JSON has no infinity.
_LOWEST = -9999.0


@dataclass(frozen=True, slots=True)
class Logprobs:
    """Natural logarithms for the rows ``rows`` of a step, not evaluated yet."""

    rows: tuple[int, ...]
    num_top: tuple[int, ...]
    sampled: mx.array  # float32 [rows]
    top_values: mx.array  # float32 [rows, candidates], best first; as top_ids
    top_ids: mx.array

    def arrays(self) -> list[mx.array]:
        return [self.sampled, self.top_values, self.top_ids]

    def read(self) -> dict[int, SampledLogprobs]:
        """Waits for the device; what each row asked for."""
        top = zip(np.array(self.top_ids).tolist(), np.array(self.top_values).tolist(), strict=True)
        each = zip(self.rows, self.num_top, np.array(self.sampled).tolist(), top, strict=True)
        return {row: sampled_logprobs(number, sampled, *best) for row, number, sampled, best in each}


def compute_logprobs(
    scores: mx.array, token_ids: mx.array, rows: Sequence[Row], exp: Callable[[mx.array], mx.array]
) -> Logprobs | None:
    """Of float32 ``scores [rows, vocabulary]``, for the rows that ask; ``token_ids [rows]`` were sampled."""
    num_top = {i: n for i, row in enumerate(rows) if (n := row.sampling.num_top_logprobs) is not None}
    if not num_top:
        return None
    if len(num_top) < len(rows):
        asking = mx.array(list(num_top))
        scores, token_ids = scores[asking], token_ids[asking]
    total = log_sums(scores, exp)
    sampled = mx.take_along_axis(scores, token_ids[:, None], axis=-1) - total
    top_values, top_ids = top_candidates(scores, MAX_TOP_LOGPROBS)
    return Logprobs(tuple(num_top), tuple(num_top.values()), sampled[:, 0], top_values - total, top_ids)


def log_sums(scores: mx.array, exp: Callable[[mx.array], mx.array]) -> mx.array:
    """The logarithm of each row's sum of exponentials, ``[rows, 1]``."""
    parts = in_parts(scores)
    best = row_maxima(parts)
    return (best + mx.log(row_sums(exp(parts - best))))[:, 0]


def sampled_logprobs(
    num_top: int, sampled: float, token_ids: list[int], values: list[float], rank: int = 0
) -> SampledLogprobs:
    """The best ``num_top`` of the candidates, ties in the order of their ids."""
    pairs = sorted(zip(token_ids, values, strict=True), key=lambda pair: (-pair[1], pair[0]))
    top = tuple((token_id, _finite(value)) for token_id, value in pairs[:num_top])
    return SampledLogprobs(_finite(sampled), top, rank)


def _finite(value: float) -> float:
    return value if value > _LOWEST else _LOWEST  # no number is not greater either
