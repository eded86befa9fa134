from typing import Any

import pytest

from api.errors import InvalidRequestError
from api.types import SamplingParams
from tests.protocol.conftest import Convert


def test_defaults_change_nothing(convert: Convert) -> None:
    assert convert(seed=5).sampling == SamplingParams(seed=5)


def test_all_of_it(convert: Convert) -> None:
    request = convert(
        temperature=0.5,
        top_p=0.25,
        top_k=9,
        min_p=0.1,
        seed=-5,
        frequency_penalty=1,
        presence_penalty=-1,
        repetition_penalty=1.5,
        logit_bias={"0": -100, "999": 0.5},
        logprobs=True,
        top_logprobs=4,
        min_tokens=3,
    )
    assert request.sampling == SamplingParams(
        temperature=0.5,
        top_p=0.25,
        top_k=9,
        min_p=0.1,
        seed=-5,
        frequency_penalty=1.0,
        presence_penalty=-1.0,
        repetition_penalty=1.5,
        logit_bias=((0, -100.0), (999, 0.5)),
        num_top_logprobs=4,
        min_tokens=3,
    )


def test_values_that_are_off(convert: Convert) -> None:
    assert convert(top_k=-1).sampling.top_k == 0
    assert convert(logprobs=True).sampling.num_top_logprobs == 0


def test_the_smallest_nucleus_is_greedy(convert: Convert) -> None:
    for top_p in (0, 1e-300, 1e-46):
        assert convert(top_p=top_p, temperature=1.5).sampling.is_greedy
    assert not convert(top_p=0.001).sampling.is_greedy


def test_the_place_in_the_queue_and_in_the_cache(convert: Convert) -> None:
    request = convert(priority=-7, cache_salt="tenant")
    assert (request.priority, request.cache_salt) == (-7, "tenant")
    assert convert(extra_key="tenant", cache_prompt=True).cache_salt == "tenant"
    assert convert(cache_salt="tenant", extra_key="tenant").cache_salt == "tenant"
    assert (convert().priority, convert().cache_salt) == (0, "")


@pytest.mark.parametrize(("value", "uses"), [(False, False), (True, True), (None, True)])
def test_a_prompt_may_stay_out_of_the_cache(convert: Convert, value: bool | None, uses: bool) -> None:
    request = convert(cache_prompt=value, cache_salt="tenant")
    assert (request.uses_prefix_cache, request.cache_salt) == (uses, "tenant")


def test_a_penalty_of_two_names(convert: Convert) -> None:
    assert convert(repeat_penalty=1.25).sampling.repetition_penalty == 1.25
    assert convert(repeat_penalty=1.25, repetition_penalty=1.25).sampling.repetition_penalty == 1.25


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"repeat_penalty": 1.2, "repetition_penalty": 1.3}, "repeat_penalty"),
        ({"logit_bias": {"1000": 1}}, "logit_bias"),
        ({"stop_token_ids": [1000]}, "stop_token_ids"),
        ({"cache_salt": "a", "extra_key": "b"}, "extra_key"),
        ({"min_tokens": 6, "max_tokens": 5}, "min_tokens"),
        ({"min_tokens": 6, "max_completion_tokens": 5, "max_tokens": 9}, "min_tokens"),
    ],
)
def test_contradictions_and_ids_beyond_the_vocabulary(
    convert: Convert, fields: dict[str, Any], param: str
) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        convert(**fields)
    assert caught.value.param == param
