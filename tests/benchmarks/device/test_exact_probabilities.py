from __future__ import annotations

import numpy as np
import pytest

from api.types import SamplingParams
from benchmarks.device.exact_probabilities import (
    changed_logits,
    chi_square,
    chi_square_limit,
    group,
    probabilities,
)

LOGITS = np.log(np.array([0.4, 0.3, 0.2, 0.1]))


@pytest.mark.parametrize(
    ("params", "wanted"),
    [
        ({}, [0.4, 0.3, 0.2, 0.1]),
        ({"temperature": 0.0}, [1, 0, 0, 0]),
        ({"temperature": 0.5}, [16 / 30, 9 / 30, 4 / 30, 1 / 30]),
        ({"top_k": 2}, [4 / 7, 3 / 7, 0, 0]),
        ({"top_p": 0.7}, [4 / 7, 3 / 7, 0, 0]),
        ({"top_p": 0.71}, [4 / 9, 3 / 9, 2 / 9, 0]),
        ({"min_p": 0.3}, [4 / 9, 3 / 9, 2 / 9, 0]),
        ({"top_k": 3, "top_p": 0.75}, [4 / 7, 3 / 7, 0, 0]),  # 7 / 9 of what top_k left
        ({"min_p": 0.5, "top_p": 0.4}, [1, 0, 0, 0]),
    ],
)
def test_filters_by_hand(params: dict[str, float], wanted: list[float]) -> None:
    found = probabilities(LOGITS, SamplingParams(**params), (), ())  # type: ignore[arg-type]
    np.testing.assert_allclose(found, wanted, atol=1e-12)


def test_a_grammar_leaves_what_it_allows() -> None:
    found = probabilities(LOGITS, SamplingParams(), (), (), allowed=[1, 3])
    np.testing.assert_allclose(found, [0, 0.75, 0, 0.25], atol=1e-12)


def test_changes_by_hand() -> None:
    sampling = SamplingParams(
        repetition_penalty=2.0,
        frequency_penalty=0.5,
        presence_penalty=0.25,
        logit_bias=((3, 5.0),),
        min_tokens=4,
        end_token_ids=(2,),
    )
    found = changed_logits(np.array([4.0, -4.0, 1.0, 0.0]), sampling, prompt=[0], answer=[1, 1])
    assert found.tolist() == [2.0, -8.0 - 1.0 - 0.25, -np.inf, 5.0]


def test_rare_tokens_share_bins_that_are_full_enough() -> None:
    expected = np.array([50.0, 0.5, 20.0, *[1.0] * 30, 0.0])
    bins = group(expected, least=8.0)
    sums = np.bincount(bins, expected)
    assert (sums >= 8.0).all()
    assert sums[bins[0]] == 50.0 and sums[bins[2]] == 20.0
    assert len(sums) == 5


def test_a_right_sampler_passes_and_one_that_is_a_little_off_fails() -> None:
    draw = np.random.default_rng(0)
    wanted = draw.dirichlet(np.ones(300))
    for _ in range(20):
        statistic, freedom = chi_square(draw.choice(300, size=3000, p=wanted), wanted)
        assert statistic <= chi_square_limit(freedom)
    flatter = wanted**0.7 / (wanted**0.7).sum()
    statistic, freedom = chi_square(draw.choice(300, size=3000, p=flatter), wanted)
    assert statistic > chi_square_limit(freedom)


def test_the_limit_is_that_of_the_tables() -> None:
    """The points of 0.01 percent, 3.719 deviations."""
    for freedom, point in ((7, 29.88), (30, 67.63), (100, 161.32)):
        assert chi_square_limit(freedom, deviations=3.719) == pytest.approx(point, rel=0.02)
