from __future__ import annotations

import mlx.core as mx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.engine.sampling.penalties import change_logits
from api.types import SamplingParams
from benchmarks.device.exact_probabilities import changed_logits
from tests.engine.sampling_factories import create_row

pytestmark = pytest.mark.device

VOCAB_SIZE = 40
tokens = st.lists(st.integers(0, VOCAB_SIZE - 1), max_size=12)
some = st.floats(-2, 2, width=32)


@st.composite
def samplings(draw: st.DrawFn) -> SamplingParams:
    biases = draw(st.dictionaries(st.integers(0, VOCAB_SIZE - 1), st.floats(-100, 100, width=32), max_size=4))
    return SamplingParams(
        frequency_penalty=draw(st.sampled_from([0.0, 0.5, -1.5])),
        presence_penalty=draw(some | st.just(0.0)),
        repetition_penalty=draw(st.sampled_from([1.0, 1.25, 0.5, 2.0])),
        logit_bias=tuple(biases.items()),
        min_tokens=draw(st.integers(0, 5)),
        end_token_ids=tuple(draw(st.sets(st.integers(0, VOCAB_SIZE - 1), max_size=3))),
    )


@given(rows=st.lists(st.tuples(samplings(), tokens, tokens), min_size=1, max_size=5), seed=st.integers(0, 99))
def test_every_row_is_changed_as_its_own_parameters_say(
    rows: list[tuple[SamplingParams, list[int], list[int]]], seed: int
) -> None:
    logits = np.random.default_rng(seed).normal(size=(len(rows), VOCAB_SIZE)).astype(np.float32) * 4
    changed = change_logits(mx.array(logits), [create_row(*each) for each in rows])
    expected = np.stack([changed_logits(row, *each) for row, each in zip(logits, rows, strict=True)])
    np.testing.assert_allclose(np.array(changed), expected, rtol=1e-5, atol=1e-5)


def test_nothing_to_change_leaves_the_array_itself() -> None:
    logits = mx.zeros((2, 8))
    row = create_row(SamplingParams(min_tokens=2, end_token_ids=(3,)), answer=(1, 2))
    assert change_logits(logits, [row, create_row(SamplingParams())]) is logits


def test_the_array_that_is_given_is_not_written_to() -> None:
    logits = mx.zeros((1, 4))
    sampling = SamplingParams(presence_penalty=1.0, logit_bias=((2, 1.0),), min_tokens=5, end_token_ids=(0,))
    changed = change_logits(logits, [create_row(sampling, answer=(1,))])
    assert changed.tolist() == [[float("-inf"), -1, 1, 0]] and logits.tolist() == [[0, 0, 0, 0]]


def test_the_prompt_counts_for_the_repetition_penalty_alone() -> None:
    sampling = SamplingParams(frequency_penalty=1.0, presence_penalty=0.5)
    logits = mx.ones((2, 4))
    repeated = SamplingParams(repetition_penalty=2.0)
    rows = [
        create_row(sampling, prompt=(2, 2), answer=(3, 3)),
        create_row(repeated, prompt=(2,), answer=(3,)),
    ]
    assert change_logits(logits, rows).tolist() == [[1, 1, 1, -1.5], [1, 1, 0.5, 0.5]]


def test_what_a_model_rules_out_stays_out() -> None:
    sampling = SamplingParams(repetition_penalty=1.5, presence_penalty=-2.0, logit_bias=((1, 100.0),))
    logits = mx.array([[0.0, float("-inf"), 1.0]])
    changed = change_logits(logits, [create_row(sampling, answer=(1, 2))])
    assert changed[0, 1].item() == float("-inf") and not mx.isnan(changed).any()


def test_tokens_that_the_logits_do_not_have_change_nothing() -> None:
    sampling = SamplingParams(
        repetition_penalty=2.0, logit_bias=((4, 5.0), (-1, 5.0)), min_tokens=9, end_token_ids=(4, 100)
    )
    changed = change_logits(mx.ones((1, 4)), [create_row(sampling, prompt=(0, 77), answer=(9,))])
    assert changed.tolist() == [[0.5, 1, 1, 1]]


def test_ends_are_banned_until_the_answer_is_long_enough() -> None:
    sampling = SamplingParams(min_tokens=2, end_token_ids=(0, 2))
    rows = [create_row(sampling, answer=range(5, 5 + n)) for n in range(4)]
    banned = (change_logits(mx.zeros((4, 4)), rows) == -mx.inf).tolist()
    assert banned == [[True, False, True, False]] * 2 + [[False] * 4] * 2
