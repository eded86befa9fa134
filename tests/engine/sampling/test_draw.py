from __future__ import annotations

from collections.abc import Callable, Sequence

import mlx.core as mx
import numpy as np
import pytest

from api.engine.device.noise import device_noise, host_noise, noise_of
from api.engine.sampling.sampler import Sampler
from api.engine.sampling.state import Row
from tests.engine.drawing import BOTH, LIMIT, LOGITS, SAMPLERS, chi_square, draws, row_at, sample, softmax

pytestmark = pytest.mark.device

VOCAB_SIZE = 9001  # large enough for all ways to draw, and no multiple of anything


@BOTH
@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_draws_follow_the_distribution(sampler: Sampler, temperature: float) -> None:
    tokens = draws(sampler, LOGITS, 8000, temperature=temperature, seed=11)
    assert chi_square(tokens, softmax(LOGITS, temperature)) < LIMIT


def test_seeds_are_streams_of_their_own() -> None:
    logits = mx.broadcast_to(mx.array(LOGITS), (8000, len(LOGITS)))
    rows = [row_at(0, seed=seed) for seed in range(8000)]
    assert chi_square(np.array(sample(SAMPLERS[0], logits, rows)), softmax(LOGITS)) < LIMIT
    first, second = (draws(SAMPLERS[0], LOGITS, 200, seed=seed) for seed in (1, 2))
    assert 0.1 < np.mean(first == second) < 0.5  # 0.26 by chance


def hashed_noise(rows: Sequence[Row], vocab_size: int) -> mx.array:
    return noise_of(rows, mx.broadcast_to(mx.arange(vocab_size), (len(rows), vocab_size)))


@pytest.mark.parametrize("noise", [host_noise, device_noise, hashed_noise])
def test_the_noise_depends_on_seed_and_index_alone(noise: Callable[[Sequence[Row], int], mx.array]) -> None:
    rows = [
        row_at(3, seed=7, temperature=0.2),
        row_at(3, seed=8),
        row_at(4, seed=7),
        row_at(3, seed=7 + 2**64),
    ]
    first, *others, again = np.array(noise(rows, 50_000))
    assert np.array_equal(first, np.array(noise([row_at(3, seed=7, top_k=5)], 50_000))[0])
    assert np.array_equal(first, again)
    for numbers in (first, *others):
        assert numbers.min() > 0 and np.count_nonzero(numbers < 1e-4) < 20  # 5 are expected
        assert abs(numbers.mean() - 1) < 0.03 and abs(np.median(numbers) - np.log(2)) < 0.03
    assert all(abs(np.corrcoef(first, other)[0, 1]) < 0.03 for other in others)


@BOTH
@pytest.mark.parametrize(
    "params", [{}, {"top_p": 0.95}, {"min_p": 0.001}, {"top_k": 2000}, {"top_k": 50}], ids=str
)
def test_a_seed_holds_when_logits_are_rounded_otherwise(sampler: Sampler, params: dict[str, float]) -> None:
    """A neighbour changes the last bits of a row's logits; the tail of a vocabulary is full of near ties."""
    draw = np.random.default_rng(4)
    logits = (draw.normal(size=(200, VOCAB_SIZE)) * 3).astype(np.float32)
    rounded = logits * (1 + draw.normal(size=logits.shape).astype(np.float32) * 1e-6)
    rows = [row_at(i, seed=21, **params) for i in range(200)]
    first, second = (np.array(sample(sampler, mx.array(each), rows)) for each in (logits, rounded))
    assert np.count_nonzero(first != second) <= 1


@BOTH
def test_numbers_that_are_made_ahead_are_the_same(sampler: Sampler) -> None:
    logits = mx.array(np.random.default_rng(8).normal(size=(4, VOCAB_SIZE)))
    kinds: list[dict[str, float]] = [{}, {"top_p": 0.9}, {}, {"top_k": 300}]
    rows = [row_at(i, seed=3, **params) for i, params in enumerate(kinds)]
    alone = sample(sampler, logits, rows).tolist()
    sampler.prepare(rows, VOCAB_SIZE)
    assert sample(sampler, logits, rows).tolist() == alone


@BOTH
def test_top_k_draws_from_the_best_alone(sampler: Sampler) -> None:
    tokens = draws(sampler, LOGITS, 4000, top_k=3, seed=5)
    kept = np.isin(np.arange(8), [2, 7, 3])
    probabilities = np.where(kept, softmax(LOGITS), 0)
    assert set(tokens.tolist()) == {2, 7, 3}
    assert chi_square(tokens, probabilities / probabilities.sum()) < LIMIT


@BOTH
def test_top_p_draws_from_the_smallest_set_that_reaches_it(sampler: Sampler) -> None:
    order = np.argsort(LOGITS)[::-1]
    mass = np.cumsum(softmax(LOGITS)[order])
    for count in (1, 2, 4, 6):
        top_p = float(mass[count - 1]) - 0.01
        tokens = draws(sampler, LOGITS, 3000, top_p=top_p, seed=6)
        assert set(tokens.tolist()) == set(order[:count].tolist())


@BOTH
def test_min_p_drops_what_is_too_far_from_the_best(sampler: Sampler) -> None:
    probabilities = softmax(LOGITS)
    floor = 0.3
    kept = {int(i) for i in np.flatnonzero(probabilities >= floor * probabilities.max())}
    assert 1 < len(kept) < 8
    assert set(draws(sampler, LOGITS, 3000, min_p=floor, seed=7).tolist()) == kept


@BOTH
def test_filters_apply_one_after_another(sampler: Sampler) -> None:
    """``top_p`` counts within what ``top_k`` left: two of three tokens reach 0.75 of theirs."""
    three = softmax([2.0, 1.6, 1.1])
    assert three[0] < 0.75 < three[0] + three[1]
    assert set(draws(sampler, LOGITS, 3000, top_k=3, top_p=0.75, seed=8).tolist()) == {2, 7}


@BOTH
@pytest.mark.parametrize(
    "params",
    [
        {"top_k": 1},
        {"top_p": 1e-9},
        {"top_p": 1e-300},
        {"top_p": 1e-300, "top_k": 5},
        {"min_p": 1.0},
        {"temperature": 1e-6},
        {"temperature": 1e-300},
        {"temperature": 2.0, "top_k": 1},
        {"temperature": 1e-6, "top_p": 0.5, "top_k": 4, "min_p": 0.1},
    ],
    ids=str,
)
def test_what_leaves_one_token_is_greedy(sampler: Sampler, params: dict[str, float]) -> None:
    mx.random.seed(4)
    logits = mx.random.normal((64, 2000)) * 5
    best = mx.argmax(logits, axis=-1)
    tokens = sample(sampler, logits, [row_at(i, seed=i, **params) for i in range(64)])
    assert tokens.tolist() == best.tolist()


@BOTH
def test_filtered_tokens_are_never_drawn_from_a_large_vocabulary(sampler: Sampler) -> None:
    mx.random.seed(5)
    logits = mx.random.normal((200, 5000))
    best = np.argsort(np.array(logits), axis=-1)[:, -20:]
    tokens = np.array(
        sample(sampler, logits, [row_at(i, temperature=2.0, top_k=20, seed=1) for i in range(200)])
    )
    assert all(token in row for token, row in zip(tokens, best, strict=True))


@BOTH
def test_tokens_that_a_model_rules_out_are_never_drawn(sampler: Sampler) -> None:
    logits = [float("-inf"), 0.0, float("-inf"), 0.5, float("-inf")]
    assert set(draws(sampler, logits, 2000, temperature=2.0, seed=9).tolist()) == {1, 3}


@BOTH
@pytest.mark.parametrize("dtype", [mx.float16, mx.bfloat16, mx.float32])
def test_a_row_that_is_certain_stays_certain_in_every_precision(sampler: Sampler, dtype: mx.Dtype) -> None:
    logits = mx.array([[-100.0, 100.0, -100.0, 50.0]] * 50).astype(dtype)
    assert sample(sampler, logits, [row_at(i, seed=2) for i in range(50)]).tolist() == [1] * 50


@BOTH
def test_a_row_that_is_not_a_number_spoils_no_other_and_stays_in_the_vocabulary(sampler: Sampler) -> None:
    logits = mx.array([LOGITS, [float("nan")] * 8, LOGITS])
    rows = [row_at(0, seed=i, top_p=0.9, top_k=5) for i in range(3)]
    first, broken, last = np.array(sample(sampler, logits, rows))
    assert 0 <= broken < 8
    assert [first, last] == [np.array(sample(sampler, logits[i : i + 1], rows[i : i + 1]))[0] for i in (0, 2)]


@BOTH
def test_draws_from_a_large_vocabulary_follow_the_distribution(sampler: Sampler) -> None:
    """Eight tokens far from each other carry nearly all of the weight."""
    places = [0, 130, 1500, 4097, 5000, 7777, 8999, 9000]
    logits = np.full(VOCAB_SIZE, -30.0)
    logits[places] = LOGITS
    tokens = draws(sampler, logits.tolist(), 4000, seed=12)
    assert set(tokens.tolist()) <= set(places)
    assert chi_square(np.searchsorted(places, tokens), softmax(LOGITS)) < LIMIT


@BOTH
@pytest.mark.parametrize("params", [{"top_p": 0.6}, {"top_k": 200}, {"top_k": 40, "top_p": 0.7}], ids=str)
def test_filtered_draws_follow_what_is_left_of_the_distribution(
    sampler: Sampler, params: dict[str, float]
) -> None:
    logits = np.random.default_rng(3).normal(size=VOCAB_SIZE) * 2.5
    order = np.argsort(-logits)
    weights = np.exp(logits[order] - logits.max())
    weights = weights[: params.get("top_k", VOCAB_SIZE)]
    mass = np.cumsum(weights) / weights.sum()
    count = int(np.searchsorted(mass, params.get("top_p", 1.0)) + 1) if "top_p" in params else len(weights)
    tokens = draws(sampler, logits.tolist(), 2000, seed=13, **params)
    ranks = np.argsort(order)[tokens]
    assert ranks.max() < count
    shares = weights[:count] / weights[:count].sum()
    bins = np.minimum(np.cumsum(shares) * 8, 7.999).astype(int)  # eight of about equal weight
    assert chi_square(bins[ranks], np.bincount(bins, shares, minlength=8)) < LIMIT
