from __future__ import annotations

import mlx.core as mx
import numpy as np
import pytest

from api.engine.sampling.prompt_scores import divide_rows, most_scored_rows, score_prompts
from api.step_plan import Slot, Span
from tests.engine.sampling_factories import log_softmax
from tests.engine.tiny_models import gpu_like_platform, platform

pytestmark = pytest.mark.device

VOCAB_SIZE = 3001
EXPS = pytest.mark.parametrize("exp", [platform().exp, gpu_like_platform().exp], ids=["cpu", "gpu"])


def span(sequence_id: int, start: int, num_tokens: int, num_samples: int, *scored_ids: int) -> Span:
    slot = Slot(64, sequence_id)
    return Span(sequence_id, slot, start, (1,) * num_tokens, num_samples, 0, scored_ids=scored_ids)


def test_rows_that_score_come_before_those_that_are_sampled_from() -> None:
    spans = [span(1, 9, 1, 1), span(2, 0, 3, 1, 5, 6), span(3, 0, 4, 0, 7, 8, 9), span(4, 5, 2, 0)]
    assert [each.num_logits for each in spans] == [1, 3, 3, 0]
    assert divide_rows(spans) == ([1, 2, 4, 5, 6], [0, 3])


@EXPS
@pytest.mark.parametrize("dtype", [mx.float32, mx.bfloat16])
def test_each_token_has_its_logprob_rank_and_rivals(exp: object, dtype: mx.Dtype) -> None:
    logits = mx.array(np.random.default_rng(0).normal(size=(5, VOCAB_SIZE)) * 4).astype(dtype)
    spans = [span(2, 0, 3, 1, 5, 6), span(3, 10, 4, 0, 7, 8, 9)]
    first, second = score_prompts(logits, spans, (2, 0), exp).read()  # type: ignore[arg-type]
    # The rows before the last one, which samples; and, where a prompt goes on, the last ones.
    assert (first.sequence_id, first.start, second.sequence_id, second.start) == (2, 1, 3, 12)
    scored = [*first.logprobs, *second.logprobs]
    for row, (found, token_id) in enumerate(zip(scored, (5, 6, 7, 8, 9), strict=True)):
        expected = log_softmax(np.array(logits[row].astype(mx.float32)))
        assert found.logprob == pytest.approx(expected[token_id], abs=1e-5)
        assert found.rank == 1 + np.sum(expected > expected[token_id])
        best = np.argsort(-expected, kind="stable")[: 2 if row < 2 else 0]
        assert [value for _, value in found.top] == pytest.approx(expected[best].tolist(), abs=1e-5)


def test_the_likeliest_token_is_its_own_first_rival_to_the_last_bit() -> None:
    """Clients compare the two to see whether a text is the greedy one."""
    logits = mx.array(np.random.default_rng(1).normal(size=(3, VOCAB_SIZE)))
    best = tuple(np.argmax(np.array(logits), axis=-1).tolist())
    (found,) = score_prompts(logits, [span(1, 0, 4, 1, *best)], [2], platform().exp).read()
    assert all(each.top[0][1] == each.logprob and each.rank == 1 for each in found.logprobs)


@pytest.mark.parametrize("vocab_size", [100, 49_152, 262_144, 10**9])
def test_a_steps_logits_stay_small(vocab_size: int) -> None:
    num_rows = most_scored_rows(vocab_size)
    assert num_rows >= 16
    assert num_rows == 16 or 3 * 4 * num_rows * vocab_size <= 256 * 1024**2
