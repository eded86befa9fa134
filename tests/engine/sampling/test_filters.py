from __future__ import annotations

import mlx.core as mx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.engine.sampling import filters
from api.engine.sampling.filters import (
    in_parts,
    keep_min_p,
    keep_top_k,
    keep_top_p,
    row_maxima,
    row_sums,
    top_candidates,
)

pytestmark = pytest.mark.device

VOCAB_SIZE = 640


def weights(scale: float, seed: int = 0, rows: int = 3) -> np.ndarray:
    scores = np.random.default_rng(seed).normal(size=(rows, VOCAB_SIZE)) * scale
    return np.asarray(np.exp(scores - scores.max(axis=-1, keepdims=True)), dtype=np.float32)


def kept(result: mx.array) -> list[set[int]]:
    return [set(np.flatnonzero(row)) for row in np.array(result).reshape(result.shape[0], -1)]


def best(row: np.ndarray, count: int) -> set[int]:
    return set(np.argsort(-row)[:count].tolist())


@given(scale=st.floats(0.05, 8), top_p=st.floats(0.01, 0.99), seed=st.integers(0, 1000))
def test_top_p_keeps_the_smallest_set_of_best_tokens_with_that_mass(
    scale: float, top_p: float, seed: int
) -> None:
    row = weights(scale, seed, rows=1)
    [result] = kept(keep_top_p(in_parts(mx.array(row)), [top_p]))
    order = np.argsort(-row[0].astype(np.float64))
    mass = np.cumsum(row[0][order].astype(np.float64))
    share = len(result) and mass[len(result) - 1] / mass[-1]
    assert result == set(order[: len(result)].tolist())
    # Where more weights lie within 0.8 % than are told apart, all of them stay.
    least = np.searchsorted(mass, top_p * mass[-1] * (1 - 1e-5)) + 1
    near = row[0] >= row[0][order[least - 1]] * (1 - 2**-7)
    assert share >= top_p * (1 - 1e-5) and least <= len(result)
    assert len(result) <= least + 1 if near.sum() - least < 25 else result <= set(np.flatnonzero(near))


@given(scale=st.floats(0.5, 8), top_k=st.integers(1, VOCAB_SIZE), seed=st.integers(0, 1000))
def test_top_k_keeps_the_best(scale: float, top_k: int, seed: int) -> None:
    row = weights(scale, seed, rows=1)
    [result] = kept(keep_top_k(in_parts(mx.array(row)), [top_k]))
    counts = set(np.flatnonzero(row[0] > 2e-19))  # what is less adds nothing to any sum
    assert best(row[0], top_k) & counts <= result
    extra = row[0][list(result - best(row[0], top_k))]
    assert np.all(extra >= np.sort(row[0])[-top_k] * (1 - 2**-7))


def test_rows_that_ask_for_nothing_stay_whole_beside_others() -> None:
    all_of_it = weights(2.0)
    parts = in_parts(mx.array(all_of_it))
    for result in (
        keep_top_p(parts + 0, [1.0, 0.5, 1.0]),
        keep_top_k(parts + 0, [0, 7, 0]),
        keep_min_p(parts + 0, [0.0, 0.1, 0.0]),
    ):
        rows = np.array(result).reshape(3, -1)
        np.testing.assert_array_equal(rows[[0, 2]], all_of_it[[0, 2]])
        assert 0 < np.count_nonzero(rows[1]) < 40
    assert keep_min_p(parts, [0.0] * 3) is keep_top_k(parts, [0] * 3) is keep_top_p(parts, [1.0] * 3) is parts


def test_a_top_k_beyond_the_vocabulary_and_a_top_p_of_nearly_all_keep_all() -> None:
    parts = in_parts(mx.array(weights(1.0)))
    assert kept(keep_top_k(parts, [VOCAB_SIZE + 1] * 3)) == [set(range(VOCAB_SIZE))] * 3
    assert all(len(row) > VOCAB_SIZE - 5 for row in kept(keep_top_p(parts, [1 - 1e-7] * 3)))


def test_min_p_keeps_what_reaches_its_share_of_the_best() -> None:
    row = weights(2.0, rows=1)
    floor = float(np.sort(row[0])[-10])  # itself included
    assert kept(keep_min_p(in_parts(mx.array(row)), [floor])) == [best(row[0], 10)]


def test_equal_weights_stay_together() -> None:
    row = np.full((1, VOCAB_SIZE), 0.5, dtype=np.float32)
    row[0, 3] = 1
    assert kept(keep_top_k(in_parts(mx.array(row)), [2])) == [set(range(VOCAB_SIZE))]
    assert kept(keep_top_k(in_parts(mx.array(row)), [1])) == [{3}]


@pytest.mark.parametrize("gap", [1e-6, 1e-4, 1e-2])
def test_close_weights_are_told_apart(gap: float) -> None:
    row = np.zeros((1, VOCAB_SIZE), dtype=np.float32)
    row[0, [4, 9]] = [1 - gap, 1]
    assert kept(keep_top_p(in_parts(mx.array(row)), [1e-9])) == [{9}]
    assert kept(keep_top_k(in_parts(mx.array(row)), [1])) == [{9}]


def test_more_close_weights_than_are_told_apart_all_stay() -> None:
    count = filters._NUM_NEAR + 8
    row = np.zeros((1, VOCAB_SIZE), dtype=np.float32)
    row[0, :count] = 1 - np.arange(count) * 1e-5
    [result] = kept(keep_top_k(in_parts(mx.array(row)), [count - 1]))
    assert result == set(range(count))


def test_sums_and_maxima_over_parts() -> None:
    scores = np.random.default_rng(1).normal(size=(3, 1001)).astype(np.float32)
    parts = in_parts(mx.array(scores))
    np.testing.assert_array_equal(np.array(row_maxima(parts))[:, 0, 0], scores.max(axis=-1))
    sums = np.array(row_sums(mx.maximum(parts, 0)))[:, 0, 0]
    np.testing.assert_allclose(sums, np.maximum(scores, 0).sum(axis=-1), rtol=1e-5)


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
