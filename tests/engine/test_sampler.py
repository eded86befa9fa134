from __future__ import annotations

import mlx.core as mx
import numpy as np
import pytest

from api.engine import sampler as sampler_module
from api.engine.sampler import Sampler, uniform
from api.types import SamplingParams, Slot, Span
from tests.engine.tiny_models import gpu_like_platform, platform

SAMPLERS = [Sampler(platform()), Sampler(gpu_like_platform())]
BOTH = pytest.mark.parametrize("sampler", SAMPLERS, ids=["cpu", "gpu"])


def span(sample_index: int = 0, **params: float) -> Span:
    sampling = SamplingParams(**params)  # type: ignore[arg-type]
    return Span(1, Slot(256, 0), 0, (1,), True, sample_index, sampling)


def draws(sampler: Sampler, logits: list[float], count: int, **params: float) -> np.ndarray:
    """Tokens of one seed's first ``count`` draws from the same logits."""
    rows = mx.broadcast_to(mx.array(logits), (count, len(logits)))
    return np.array(sampler(rows, [span(i, **params) for i in range(count)]))


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


@BOTH
def test_greedy_rows_take_the_best_token(sampler: Sampler) -> None:
    mx.random.seed(3)
    logits = mx.random.normal((5, 1000))
    tokens = sampler(logits, [span(temperature=0.0)] * 5)
    assert tokens.dtype == mx.int32
    assert tokens.tolist() == mx.argmax(logits, axis=-1).tolist()


@BOTH
@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_draws_follow_the_distribution(sampler: Sampler, temperature: float) -> None:
    tokens = draws(sampler, LOGITS, 8000, temperature=temperature, seed=11)
    assert chi_square(tokens, softmax(LOGITS, temperature)) < LIMIT


def test_seeds_are_streams_of_their_own() -> None:
    logits = mx.broadcast_to(mx.array(LOGITS), (8000, len(LOGITS)))
    spans = [span(0, seed=seed) for seed in range(8000)]
    assert chi_square(np.array(SAMPLERS[0](logits, spans)), softmax(LOGITS)) < LIMIT
    first, second = (draws(SAMPLERS[0], LOGITS, 200, seed=seed) for seed in (1, 2))
    assert 0.1 < np.mean(first == second) < 0.5  # 0.26 by chance


def test_the_uniform_number_depends_on_seed_and_index_alone() -> None:
    assert uniform(span(3, seed=7, temperature=0.2)) == uniform(span(3, seed=7, top_k=5))
    numbers = [uniform(span(i, seed=seed)) for seed in (0, 1, -1, 2**64 - 2, 2**70) for i in range(50)]
    assert len(set(numbers)) == 250 - 50  # 2**70 is 0 once more
    assert all(0 <= number < 1 for number in numbers)


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
    tokens = sampler(logits, [span(i, seed=i, **params) for i in range(64)])
    assert tokens.tolist() == best.tolist()


@BOTH
def test_filtered_tokens_are_never_drawn_from_a_large_vocabulary(sampler: Sampler) -> None:
    mx.random.seed(5)
    logits = mx.random.normal((200, 5000))
    best = np.argsort(np.array(logits), axis=-1)[:, -20:]
    tokens = np.array(sampler(logits, [span(i, temperature=2.0, top_k=20, seed=1) for i in range(200)]))
    assert all(token in row for token, row in zip(tokens, best, strict=True))


@BOTH
def test_tokens_that_a_model_rules_out_are_never_drawn(sampler: Sampler) -> None:
    logits = [float("-inf"), 0.0, float("-inf"), 0.5, float("-inf")]
    assert set(draws(sampler, logits, 2000, temperature=2.0, seed=9).tolist()) == {1, 3}


@BOTH
@pytest.mark.parametrize("dtype", [mx.float16, mx.bfloat16, mx.float32])
def test_a_row_that_is_certain_stays_certain_in_every_precision(sampler: Sampler, dtype: mx.Dtype) -> None:
    logits = mx.array([[-100.0, 100.0, -100.0, 50.0]] * 50).astype(dtype)
    assert sampler(logits, [span(i, seed=2) for i in range(50)]).tolist() == [1] * 50


@BOTH
@pytest.mark.parametrize("number", [0.0, sampler_module._LARGEST_UNIFORM])
def test_the_ends_of_the_unit_interval_draw_kept_tokens(
    sampler: Sampler, number: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sampler_module, "uniform", lambda span: number)
    logits = [-3.0, -4.0, 1.0, -5.0, 0.9, -3.0, -6.0]
    expected = 2 if number == 0 else 4
    assert draws(sampler, logits, 1, top_k=2).tolist() == [expected]
    assert draws(sampler, logits, 1, top_p=0.9).tolist() == [expected]


@BOTH
def test_a_row_that_is_not_a_number_spoils_no_other_and_stays_in_the_vocabulary(sampler: Sampler) -> None:
    logits = mx.array([LOGITS, [float("nan")] * 8, LOGITS])
    spans = [span(0, seed=i, top_p=0.9, top_k=5) for i in range(3)]
    first, broken, last = np.array(sampler(logits, spans))
    assert 0 <= broken < 8
    assert [first, last] == [np.array(sampler(logits[i : i + 1], spans[i : i + 1]))[0] for i in (0, 2)]


MIXED: list[dict[str, float]] = [
    {"temperature": 0.0},
    {"temperature": 0.7, "seed": 1},
    {"temperature": 1.0, "seed": 2, "top_p": 0.9},
    {"temperature": 1.3, "seed": 3, "top_k": 40},
    {"temperature": 1.0, "seed": 4, "min_p": 0.05},
    {"temperature": 0.9, "seed": 5, "top_p": 0.8, "top_k": 100, "min_p": 0.01},
    {"temperature": 0.0},
    {"temperature": 2.0, "seed": 6},
]


@BOTH
def test_a_row_gets_the_same_token_alone_and_among_others(sampler: Sampler) -> None:
    mx.random.seed(6)
    for index in range(20):
        logits = mx.random.normal((len(MIXED), 3000)) * 2
        spans = [span(index, **params) for params in MIXED]
        together = sampler(logits, spans).tolist()
        alone = [sampler(logits[i : i + 1], spans[i : i + 1]).item() for i in range(len(MIXED))]
        assert together == alone


@BOTH
def test_greedy_rows_beside_drawn_ones_stay_greedy(sampler: Sampler) -> None:
    mx.random.seed(7)
    logits = mx.random.normal((8, 500))
    tokens = sampler(logits, [span(0, **params) for params in MIXED]).tolist()
    best = mx.argmax(logits, axis=-1).tolist()
    assert (tokens[0], tokens[6]) == (best[0], best[6])  # type: ignore[index]
