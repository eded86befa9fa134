from __future__ import annotations

import math
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from api.engine.sampling.sampler import Sampler
from api.engine.sampling.state import Row
from api.errors import ServerSideError
from api.step_plan import SampledToken
from api.types import SamplingParams
from benchmarks.device.exact_probabilities import changed_logits
from tests.engine.drawing import BOTH, row_at, sample
from tests.engine.sampling_factories import (
    CHARACTERS,
    END_THINK,
    EOS,
    RegexGrammar,
    create_row,
    log_softmax,
    token_ids,
)
from tests.engine.tiny_models import platform
from tests.fakes.thinking import create_thinking

pytestmark = pytest.mark.device


@BOTH
def test_greedy_rows_take_the_best_token(sampler: Sampler) -> None:
    mx.random.seed(3)
    logits = mx.random.normal((5, 1000))
    tokens = sample(sampler, logits, [row_at(temperature=0.0)] * 5)
    assert tokens.dtype == mx.int32
    assert tokens.tolist() == mx.argmax(logits, axis=-1).tolist()


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
        rows = [row_at(index, **params) for params in MIXED]
        together = sample(sampler, logits, rows).tolist()
        alone = [sample(sampler, logits[i : i + 1], rows[i : i + 1]).item() for i in range(len(MIXED))]
        assert together == alone


@BOTH
def test_greedy_rows_beside_drawn_ones_stay_greedy(sampler: Sampler) -> None:
    mx.random.seed(7)
    logits = mx.random.normal((8, 500))
    tokens = sample(sampler, logits, [row_at(0, **params) for params in MIXED]).tolist()
    best = mx.argmax(logits, axis=-1).tolist()
    assert (tokens[0], tokens[6]) == (best[0], best[6])  # type: ignore[index]


# --- every parameter at once -------------------------------------------------------------------

VOCAB_SIZE = 9001  # large enough for all ways to draw, and no multiple of anything

samplings = st.builds(
    SamplingParams,
    temperature=st.sampled_from([0.0, 0.6, 1.0, 1.7]),
    top_p=st.sampled_from([1.0, 0.9, 0.3]),
    top_k=st.sampled_from([0, 1, 30, 500]),
    min_p=st.sampled_from([0.0, 0.02]),
    seed=st.integers(0, 2**63),
    frequency_penalty=st.sampled_from([0.0, 0.7]),
    presence_penalty=st.sampled_from([0.0, -1.1]),
    repetition_penalty=st.sampled_from([1.0, 1.3]),
    logit_bias=st.sampled_from([(), ((3, 4.0), (9000, -100.0))]),
    num_top_logprobs=st.sampled_from([None, 0, 4, 20]),
    min_tokens=st.sampled_from([0, 4]),
    end_token_ids=st.just((0, EOS)),
    grammar=st.sampled_from([None, None, RegexGrammar("[a-p]+"), RegexGrammar("[ -~]*")]),
    thinking=st.sampled_from([None, None, create_thinking(CHARACTERS, max_tokens=2)]),
)
histories = st.tuples(st.lists(st.integers(0, 94), max_size=6), st.sampled_from(["", "ab", "abc", "aaaaa"]))


def create_mixed_rows(each: list[tuple[SamplingParams, tuple[list[int], str]]]) -> list[Row]:
    """Fresh ones: matchers move on."""
    return [create_row(p, prompt, token_ids(answer)) for p, (prompt, answer) in each]


@BOTH
@settings(max_examples=40, deadline=None)
@given(each=st.lists(st.tuples(samplings, histories), min_size=2, max_size=6), seed=st.integers(0, 1000))
def test_a_row_of_any_kind_does_not_depend_on_its_neighbours(
    sampler: Sampler, each: list[tuple[SamplingParams, tuple[list[int], str]]], seed: int
) -> None:
    logits = mx.array(np.random.default_rng(seed).normal(size=(len(each), VOCAB_SIZE)) * 3)
    together = sampler(logits, create_mixed_rows(each)).read()
    for i in range(len(each)):
        [alone] = sampler(logits[i : i + 1], create_mixed_rows(each[i : i + 1])).read()
        assert together[i].token_id == alone.token_id
        assert (together[i].logprobs is None) == (each[i][0].num_top_logprobs is None)
        theirs, ours = together[i].logprobs, alone.logprobs
        if theirs is not None and ours is not None:
            assert theirs.logprob == pytest.approx(ours.logprob, abs=1e-5)
            assert [token_id for token_id, _ in theirs.top] == [token_id for token_id, _ in ours.top]


@BOTH
@settings(max_examples=40, deadline=None)
@given(each=st.lists(st.tuples(samplings, histories), min_size=1, max_size=4), seed=st.integers(0, 1000))
def test_tokens_and_logprobs_are_of_the_changed_logits(
    sampler: Sampler, each: list[tuple[SamplingParams, tuple[list[int], str]]], seed: int
) -> None:
    logits = np.random.default_rng(seed).normal(size=(len(each), VOCAB_SIZE)).astype(np.float32) * 3
    found = sampler(mx.array(logits), create_mixed_rows(each)).read()
    for row, (sampling, (prompt, answer)), token in zip(logits, each, found, strict=True):
        changed = changed_logits(row, sampling, prompt, token_ids(answer))
        changed[~allowed_tokens(sampling, answer)] = -np.inf
        assert np.isfinite(changed[token.token_id])
        if sampling.is_greedy or sampling.top_k == 1:
            assert changed[token.token_id] == pytest.approx(changed.max(), abs=1e-5)
        if token.logprobs is not None:
            expected = log_softmax(changed)
            assert token.logprobs.logprob == pytest.approx(expected[token.token_id], abs=1e-4)
            best = np.maximum(np.sort(expected)[::-1][: sampling.num_top_logprobs], -9999.0)
            assert [value for _, value in token.logprobs.top] == pytest.approx(best.tolist(), abs=1e-4)


def allowed_tokens(sampling: SamplingParams, answer: str) -> np.ndarray:
    """By the grammar and the thinking block of two tokens, whose end comes as the third."""
    allowed = np.ones(VOCAB_SIZE, dtype=bool)
    ends, grammar = list(sampling.end_token_ids), sampling.grammar
    if sampling.thinking is not None and len(answer) >= 2:
        allowed[:] = False
        allowed[END_THINK] = True
    elif sampling.thinking is not None and sampling.grammar is not None:
        allowed[ends] = False
    elif isinstance(grammar, RegexGrammar):
        allowed[:] = False
        allowed[list(token_ids("abcdefghijklmnop" if grammar.regex == "[a-p]+" else PRINTABLE))] = True
        is_complete = bool(answer) or grammar.regex != "[a-p]+"
        allowed[EOS] = is_complete and len(answer) >= sampling.min_tokens
        allowed[0] &= len(answer) >= sampling.min_tokens
    return allowed


PRINTABLE = "".join(map(chr, range(32, 127)))


def test_an_all_greedy_batch_is_an_argmax_of_the_logits_as_they_are() -> None:
    sampler = Sampler(platform())
    samples = sampler(mx.array([[1.0, 3.0], [2.0, 1.0]], dtype=mx.bfloat16), [row_at(temperature=0.0)] * 2)
    assert samples.token_ids.tolist() == [1, 0]
    assert len(samples.arrays()) == 1
    assert samples.read() == [SampledToken(1, 1), SampledToken(1, 0)]


@pytest.mark.parametrize("params", [{"presence_penalty": 0.01}, {"logit_bias": ((0, -0.01),)}], ids=str)
def test_small_changes_count_in_any_precision(params: dict[str, Any]) -> None:
    """At this size bfloat16 knows steps of 0.25 only."""
    logits = mx.array([[40.0, 40.0]], dtype=mx.bfloat16)
    row = create_row(SamplingParams(temperature=0.0, **params), answer=(0,))
    assert Sampler(platform())(logits, [row]).token_ids.tolist() == [1]


@pytest.mark.parametrize("params", [{"temperature": 0.0}, {"seed": 3}, {"top_k": 1}, {"top_p": 0.9}], ids=str)
def test_a_token_without_end_of_bias_never_comes(params: dict[str, Any]) -> None:
    sampling = SamplingParams(logit_bias=((0, -math.inf), (2, -math.inf)), num_top_logprobs=3, **params)
    (sampled,) = Sampler(platform())(mx.array([[90.0, 0.0, 91.0]]), [create_row(sampling)]).read()
    assert sampled.token_id == 1 and sampled.logprobs is not None
    assert sampled.logprobs.logprob == 0.0
    assert sampled.logprobs.top == ((1, 0.0), (0, -9999.0), (2, -9999.0))


def test_a_row_whose_grammar_fails_is_reported_and_the_others_are_sampled() -> None:
    grammar = SamplingParams(temperature=0.0, grammar=RegexGrammar("ab"))
    rows = [
        create_row(grammar, answer=token_ids("x"), sequence_id=1),
        create_row(grammar, answer=token_ids("a"), sequence_id=2),
    ]
    bad, good = Sampler(platform())(mx.zeros((2, 120)), rows).read()
    assert isinstance(bad.error, ServerSideError)
    assert good == SampledToken(2, token_ids("b")[0])
