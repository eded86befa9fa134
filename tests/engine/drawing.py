"""Draws of one seed's tokens, on both kinds of devices, and how well they follow a distribution."""

from __future__ import annotations

from collections.abc import Sequence

import mlx.core as mx
import numpy as np
import pytest

from api.engine.sampling.sampler import Sampler
from api.engine.sampling.state import Row
from api.types import SamplingParams
from tests.engine.tiny_models import gpu_like_platform, platform


def sample(sampler: Sampler, logits: mx.array, rows: Sequence[Row]) -> mx.array:
    return sampler(logits, rows).token_ids


SAMPLERS = [Sampler(platform()), Sampler(gpu_like_platform())]
BOTH = pytest.mark.parametrize("sampler", SAMPLERS, ids=["cpu", "gpu"])


def row_at(sample_index: int = 0, **params: float) -> Row:
    """Of a sequence that needs no state."""
    return Row(1, SamplingParams(**params), sample_index)  # type: ignore[arg-type]


def draws(sampler: Sampler, logits: list[float], count: int, **params: float) -> np.ndarray:
    """Tokens of one seed's first ``count`` draws from the same logits."""
    same = mx.broadcast_to(mx.array(logits), (count, len(logits)))
    return np.array(sample(sampler, same, [row_at(i, **params) for i in range(count)]))


def softmax(logits: list[float], temperature: float = 1.0) -> np.ndarray:
    weights = np.exp((np.array(logits) - max(logits)) / temperature)
    return np.asarray(weights / weights.sum())


def chi_square(tokens: np.ndarray, probabilities: np.ndarray) -> float:
    kept = probabilities > 0
    wanted = probabilities[kept] * len(tokens)
    counts = np.bincount(tokens, minlength=len(probabilities))[kept]
    return float(((counts - wanted) ** 2 / wanted).sum())


LOGITS = [0.3, -1.2, 2.0, 1.1, -0.4, 0.9, -2.5, 1.6]
# The 99.99 % point of chi-square with 7 degrees of freedom; the seeds are fixed, so it holds or not.
LIMIT = 29.9
