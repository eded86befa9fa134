from __future__ import annotations

import mlx.core as mx
import numpy as np
import pytest

from api.engine.sampling.candidates import top_candidates

pytestmark = pytest.mark.device


@pytest.mark.parametrize("vocab_size", [5, 1000, 3008, 9001])
@pytest.mark.parametrize("count", [1, 20, 40])
def test_the_best_of_each_row_best_first(vocab_size: int, count: int) -> None:
    scores = np.random.default_rng(0).normal(size=(3, vocab_size)).astype(np.float32)
    scores[1, : vocab_size // 2] = -np.inf
    scores[2, -3:] += 20  # neighbours in one block
    values, token_ids = (np.array(a) for a in top_candidates(mx.array(scores), count))
    expected = np.argsort(-scores, axis=-1, kind="stable")[:, :count]
    np.testing.assert_array_equal(values, np.take_along_axis(scores, expected, axis=-1))
    finite = np.isfinite(values)
    np.testing.assert_array_equal(token_ids[finite], expected[finite])


@pytest.mark.parametrize("vocab_size", [4992, 4997, 5000, 5023])
@pytest.mark.parametrize("finite", [(7,), (), (4980, 4991), tuple(range(0, 4990, 256))])
def test_what_cannot_come_fills_up_with_tokens_that_exist(vocab_size: int, finite: tuple[int, ...]) -> None:
    scores = np.full((1, vocab_size), -np.inf, dtype=np.float32)
    scores[0, list(finite)] = 1
    values, token_ids = (np.array(a)[0] for a in top_candidates(mx.array(scores), 20))
    assert sorted(token_ids[: len(finite)]) == sorted(finite)
    assert np.all(values[len(finite) :] == -np.inf)
    assert len(set(token_ids.tolist())) == 20
    assert token_ids.min() >= 0 and token_ids.max() < vocab_size
