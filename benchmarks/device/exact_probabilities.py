"""The probability of every next token by the definition of the parameters, in float64, with numpy alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from api.types import SamplingParams

Floats = NDArray[np.float64]


def probabilities(
    logits: NDArray[Any],
    sampling: SamplingParams,
    prompt: Sequence[int],
    answer: Sequence[int],
    allowed: Sequence[int] | None = None,
) -> Floats:
    """``[vocabulary]``; ``allowed``: the tokens that a grammar lets through, None: all."""
    scores = changed_logits(logits, sampling, prompt, answer)
    if allowed is not None:
        scores = np.where(np.isin(np.arange(len(scores)), allowed), scores, -np.inf)
    if sampling.is_greedy:
        return np.asarray(np.arange(len(scores)) == scores.argmax(), dtype=np.float64)
    return keep(softmax(scores / sampling.temperature), sampling)


def changed_logits(
    logits: NDArray[Any], sampling: SamplingParams, prompt: Sequence[int], answer: Sequence[int]
) -> Floats:
    """Penalties, biases and ends that would come too early, token by token."""
    scores = logits.astype(np.float64)
    for token in {*prompt, *answer}:
        divisor = sampling.repetition_penalty
        scores[token] = scores[token] / divisor if scores[token] > 0 else scores[token] * divisor
    for token in set(answer):
        scores[token] -= sampling.frequency_penalty * list(answer).count(token) + sampling.presence_penalty
    for token, bias in sampling.logit_bias:
        scores[token] += bias
    if len(answer) < sampling.min_tokens:
        scores[list(sampling.end_token_ids)] = -np.inf
    return scores


def keep(weights: Floats, sampling: SamplingParams) -> Floats:
    """min_p, top_k and top_p, each of what the one before left."""
    weights = np.where(weights >= sampling.min_p * weights.max(), weights, 0.0)
    order = np.argsort(-weights, kind="stable")
    if sampling.top_k:
        weights[order[sampling.top_k :]] = 0.0
    before = np.cumsum(weights[order]) - weights[order]
    if sampling.top_p < 1:
        weights[order[before >= sampling.top_p * weights.sum()]] = 0.0
    kept: Floats = weights / weights.sum()
    return kept


def softmax(scores: Floats) -> Floats:
    weights = np.exp(scores - scores.max())
    normalised: Floats = weights / weights.sum()
    return normalised


def chi_square(tokens: NDArray[Any], wanted: Floats, least_expected: float = 8.0) -> tuple[float, int]:
    """The statistic and its degrees of freedom, of the likeliest tokens and of all others in bins.

    The rarer tokens share bins, so that each bin is expected ``least_expected`` times at least.
    """
    bins = group(wanted * len(tokens), least_expected)
    expected = np.bincount(bins, wanted * len(tokens))
    counts = np.bincount(bins[tokens], minlength=len(expected))
    return float(((counts - expected) ** 2 / expected).sum()), len(expected) - 1


def group(expected: Floats, least: float) -> NDArray[np.int64]:
    """The bin of each token: the likeliest first, a bin closed as soon as it is full enough."""
    order, bins = np.argsort(-expected, kind="stable"), np.zeros(len(expected), dtype=np.int64)
    number, filled = 0, 0.0
    left = expected.sum()
    for token in order:
        bins[token] = number
        filled += expected[token]
        left -= expected[token]
        if filled >= least and left >= least:
            number, filled = number + 1, 0.0
    return bins


def chi_square_limit(freedom: int, deviations: float = 4.5) -> float:
    """By Wilson and Hilferty: beyond it a right sampler is once in 300,000 times."""
    if freedom == 0:
        return 1e-6
    share = 2 / (9 * freedom)
    return float(freedom * (1 - share + deviations * share**0.5) ** 3)
