from __future__ import annotations

import json
from dataclasses import replace

import mlx.core as mx
import numpy as np
import pytest

from api.engine.sampling.logprobs import compute_logprobs
from api.step_plan import SampledLogprobs
from api.types import SamplingParams
from tests.engine.sampling_factories import create_row, log_softmax
from tests.engine.tiny_models import gpu_like_platform, platform

pytestmark = pytest.mark.device

EXPS = pytest.mark.parametrize("exp", [platform().exp, gpu_like_platform().exp], ids=["cpu", "gpu"])
ASKS = SamplingParams(temperature=0.0, num_top_logprobs=5)
VOCAB_SIZE = 3001


def logprobs_of(
    scores: np.ndarray, token_ids: list[int], samplings: list[SamplingParams], exp: object = mx.exp
) -> dict[int, SampledLogprobs]:
    rows = [create_row(sampling) for sampling in samplings]
    found = compute_logprobs(mx.array(scores.astype(np.float32)), mx.array(token_ids), rows, exp)  # type: ignore[arg-type]
    return found.read() if found else {}


@EXPS
def test_they_are_the_log_softmax_of_the_rows_that_ask(exp: object) -> None:
    scores = np.random.default_rng(0).normal(size=(4, VOCAB_SIZE)) * 4
    samplings = [replace(ASKS, num_top_logprobs=n) for n in (20, None, 0, 3)]
    found = logprobs_of(scores, [1, 2, 3, 4], samplings, exp)
    assert list(found) == [0, 2, 3]
    for row, number in ((0, 20), (2, 0), (3, 3)):
        expected = log_softmax(scores[row])
        best = np.argsort(-expected)[:number]
        assert found[row].logprob == pytest.approx(expected[row + 1], abs=1e-5)
        assert [token_id for token_id, _ in found[row].top] == best.tolist()
        assert [value for _, value in found[row].top] == pytest.approx(expected[best].tolist(), abs=1e-5)


def test_nobody_asks_and_nothing_is_computed() -> None:
    row = create_row(SamplingParams())
    assert compute_logprobs(mx.zeros((1, 9)), mx.array([0]), [row], mx.exp) is None


@EXPS
def test_what_cannot_come_is_a_low_number_that_json_knows(exp: object) -> None:
    scores = np.full((2, VOCAB_SIZE), -np.inf)
    scores[0, [5, 9]] = [1.0, 0.0]
    scores[1, 8] = -3.0
    first, second = logprobs_of(scores, [5, 7], [ASKS, ASKS], exp).values()
    expected = log_softmax(np.array([1.0, 0.0]))
    assert first.logprob == pytest.approx(expected[0], abs=1e-5)
    assert [token_id for token_id, _ in first.top[:2]] == [5, 9]
    assert [value for _, value in first.top[:2]] == pytest.approx(expected.tolist(), abs=1e-5)
    assert [value for _, value in first.top[2:]] == [-9999.0] * 3
    assert second.logprob == -9999.0 and second.top[0][0] == 8
    assert second.top[0][1] == pytest.approx(0.0, abs=1e-6)
    json.dumps([first.top, second.top], allow_nan=False)


def test_a_row_of_no_numbers_spoils_no_other() -> None:
    scores = np.zeros((2, 64))
    scores[0] = np.nan
    first, second = logprobs_of(scores, [3, 4], [ASKS, ASKS]).values()
    assert first.logprob == -9999.0
    assert second.logprob == pytest.approx(-np.log(64), abs=1e-5)


def test_equal_tokens_come_in_the_order_of_their_ids_however_many_are_asked_for() -> None:
    scores = np.zeros((3, 12))
    samplings = [replace(ASKS, num_top_logprobs=n) for n in (3, 12, 20)]
    found = logprobs_of(scores, [0, 0, 0], samplings)
    assert [[token_id for token_id, _ in each.top] for each in found.values()] == [
        [0, 1, 2],
        list(range(12)),
        list(range(12)),
    ]
