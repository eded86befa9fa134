"""Decides at load which forward a model gets: by its logits, not by a list of names."""

from __future__ import annotations

import random

import mlx.core as mx
import mlx.nn as nn
import numpy as np

from api.engine.forward.caches import make_caches
from api.engine.forward.interface import Forward
from api.types import SamplingParams, Slot, Span, StepPlan

_CAPACITY = 64
_NUM_TOKENS = 16
# (sequence, number of tokens) of each step: chunks of two sequences, interleaved with single tokens.
_STEPS = (
    ((0, 5),),
    ((0, 1), (1, 7)),
    ((0, 1), (1, 1)),
    ((1, 1), (0, 6)),
    ((0, 1), (1, 5)),
    ((0, 1), (1, 1)),
    ((0, 1), (1, 1)),  # the same rows again: nobody joined or left
)
_GREEDY = SamplingParams(temperature=0.0)


class SelfCheckError(Exception):
    """A forward does not reproduce the model; the message says how."""


def check_forward(model: nn.Module, forward: Forward, vocab_size: int) -> None:
    """Runs a few random tokens through the plain model and through ``forward``.

    Raises SelfCheckError where the logits differ or the forward raises. Leaves ``forward`` empty.
    """
    draw = random.Random(0)
    tokens = [[draw.randrange(vocab_size) for _ in range(_NUM_TOKENS)] for _ in range(2)]
    plain = [_plain_logits(model, ids) for ids in tokens]
    try:
        pairs = _step_pairs(forward, tokens, plain)
        mx.eval(pairs)
    except Exception as error:  # whatever a model's code raises on unusual shapes means "not this forward"
        raise SelfCheckError(f"{type(error).__name__}: {error}") from error
    finally:
        forward.reset()
    _compare(pairs)


def _plain_logits(model: nn.Module, token_ids: list[int]) -> mx.array:
    """The model's own logits ``[tokens, vocabulary]``, with its own caches."""
    logits: mx.array = model(mx.array([token_ids]), cache=make_caches(model))
    mx.eval(logits)
    return logits[0]


def _step_pairs(
    forward: Forward, tokens: list[list[int]], plain: list[mx.array]
) -> list[tuple[mx.array, mx.array]]:
    computed = [0, 0]
    pairs = []
    for step in _STEPS:
        spans = []
        for sequence, count in step:
            start = computed[sequence]
            computed[sequence] += count
            ids = tuple(tokens[sequence][start : start + count])
            spans.append(Span(sequence, Slot(_CAPACITY, sequence), start, ids, True, 0, _GREEDY))
        plan = StepPlan(spans=tuple(spans), num_slots=((_CAPACITY, 2),))
        logits = forward(plan, mx.array([t for s in spans for t in s.token_ids]))
        wanted = mx.stack([plain[s.sequence_id][computed[s.sequence_id] - 1] for s in spans])
        pairs.append((logits, wanted))
    return pairs


def _compare(pairs: list[tuple[mx.array, mx.array]]) -> None:
    """At half precision a few rows may differ (an expert's near tie); in float32 none may."""
    got = mx.concatenate([logits for logits, _ in pairs]).astype(mx.float32)
    wanted = mx.concatenate([logits for _, logits in pairs]).astype(mx.float32)
    is_exact = pairs[0][1].dtype == mx.float32
    errors = mx.max(mx.abs(got - wanted), axis=-1) / mx.maximum(mx.max(mx.abs(wanted), axis=-1), 1e-6)
    row_errors = [float(error) for error in np.array(errors)]
    wrong = [error for error in row_errors if not error <= (1e-3 if is_exact else 5e-2)]
    if len(wrong) > (0 if is_exact else len(row_errors) // 4):
        raise SelfCheckError(
            f"{len(wrong)} of {len(row_errors)} rows differ, by up to {max(wrong):.2g} of the logits"
        )
