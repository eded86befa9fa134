import math
from dataclasses import replace
from typing import Any

import pytest

from api.errors import InvalidRequestError
from api.http.chat_completions import request as chat_completions
from api.http.completions import request as completions
from api.types import SamplingDefaults, SamplingParams
from tests.http.converting import SERVED, Convert


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


def test_the_limits_by_their_names(convert: Convert) -> None:
    assert convert(n_predict=5).max_tokens == convert(max_new_tokens=5).max_tokens == 5
    assert convert(n_predict=5, max_tokens=5).max_tokens == 5
    assert convert(n_predict=-1).max_tokens is None
    assert convert(max_completion_tokens=4, max_tokens=5).max_tokens == 4
    assert convert(min_new_tokens=5).sampling.min_tokens == 5


def test_the_end_stays_in_the_text_by_either_name(convert: Convert) -> None:
    assert convert(no_stop_trim=True).includes_stop
    assert convert(include_stop_str_in_output=True).includes_stop
    assert not convert(no_stop_trim=False).includes_stop


def test_a_bias_as_pairs_or_as_a_ban(convert: Convert) -> None:
    assert convert(logit_bias=[[5, -1.5], [6, 2]]).sampling.logit_bias == ((5, -1.5), (6, 2.0))
    assert convert(logit_bias=[["7", 1]]).sampling.logit_bias == ((7, 1.0),)
    assert convert(logit_bias=[[5, False]]).sampling.logit_bias == ((5, -math.inf),)
    assert convert(logit_bias={"5": False}).sampling.logit_bias == ((5, -math.inf),)
    assert convert(logit_bias=[]).sampling.logit_bias == ()


def test_a_window_over_penalties_matters_only_with_one(convert: Convert) -> None:
    for name in ("repeat_last_n", "repetition_context_size"):
        assert convert(**{name: 64, "repeat_penalty": 1.0})
        assert convert(**{name: -1, "repeat_penalty": 1.1})
        for penalty in ("repeat_penalty", "repetition_penalty", "frequency_penalty", "presence_penalty"):
            with pytest.raises(InvalidRequestError) as caught:
                convert(**{name: 64, penalty: 1.1})
            assert caught.value.param == name


def test_likeliest_tokens_only(convert: Convert) -> None:
    assert convert(do_sample=False, temperature=0).sampling.is_greedy
    with pytest.raises(InvalidRequestError):
        convert(do_sample=False)


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"max_tokens": 5, "n_predict": 6}, "n_predict"),
        ({"n_predict": 0}, "n_predict"),
        ({"max_new_tokens": 0}, "max_new_tokens"),
        ({"min_tokens": 5, "min_new_tokens": 6}, "min_new_tokens"),
        ({"no_stop_trim": True, "include_stop_str_in_output": False}, "no_stop_trim"),
        ({"cache_salt": "a", "prompt_cache_isolation_key": "b"}, "prompt_cache_isolation_key"),
        ({"logit_bias": [["Hello", 1]]}, "logit_bias.Hello"),
        ({"logit_bias": [[5]]}, "logit_bias"),
        ({"logit_bias": [[5, True]]}, "logit_bias.5"),
        ({"logit_bias": {"5": 101}}, "logit_bias.5"),
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


FOLDERS = SamplingDefaults(temperature=0.6, top_p=0.9, top_k=20, min_p=0.05, repetition_penalty=1.1)


@pytest.mark.parametrize("absent", [{}, {"temperature": None, "top_k": None, "repetition_penalty": None}])
def test_the_folder_says_what_the_request_leaves_open(absent: dict[str, Any]) -> None:
    expected = SamplingParams(0.6, 0.9, 20, 0.05, seed=5, repetition_penalty=1.1)
    assert sampling(FOLDERS, seed=5, **absent) == expected


def test_the_request_comes_before_the_folder_also_with_what_is_off() -> None:
    off = {"temperature": 0, "top_p": 1, "top_k": 0, "min_p": 0, "repeat_penalty": 1}
    assert sampling(FOLDERS, seed=5, **off) == SamplingParams(temperature=0.0, seed=5)


def test_one_field_of_the_request_leaves_the_folders_others() -> None:
    found = sampling(FOLDERS, temperature=1.5)
    assert (found.temperature, found.top_p, found.top_k) == (1.5, 0.9, 20)


def test_a_folder_that_does_not_sample_is_greedy_until_a_request_wants_more() -> None:
    assert sampling(SamplingDefaults(temperature=0.0)).is_greedy
    assert sampling(SamplingDefaults(temperature=0.0), temperature=0.5).temperature == 0.5
    assert sampling(SamplingDefaults(top_p=0.0)).is_greedy


def test_both_dialects_know_the_folder() -> None:
    body = {"model": "model", "prompt": "Hi", "n": 2}
    served = replace(SERVED, sampling_defaults=FOLDERS)
    request = completions.to_generation_request(completions.parse_completion(body, served, False), served)
    assert (request.sampling.top_k, request.num_choices) == (20, 2)


def sampling(defaults: SamplingDefaults, **fields: Any) -> SamplingParams:
    body = {"model": "model", "messages": [{"role": "user", "content": "Hi"}], **fields}
    served = replace(SERVED, sampling_defaults=defaults)
    parsed = chat_completions.parse_chat_completion(body, served, False)
    return chat_completions.to_generation_request(parsed, served).sampling
