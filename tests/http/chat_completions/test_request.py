from typing import Any

import pytest

from api.errors import InvalidRequestError, ModelNotFoundError, UnsupportedFieldError
from api.http.chat_completions.request import parse_chat_completion
from api.types import ChatPrompt
from tests.http.converting import SERVED, USER, Convert

BODY = {"model": "model", "messages": [USER]}


@pytest.mark.parametrize("name", ["model", "tiny", "org/tiny"])
def test_known_names(name: str) -> None:
    assert parse_chat_completion(BODY | {"model": name}, SERVED, False).model == name


def test_an_unknown_name_is_refused_unless_any_is_accepted() -> None:
    with pytest.raises(ModelNotFoundError) as caught:
        parse_chat_completion(BODY | {"model": "gpt-4o"}, SERVED, False)
    assert (caught.value.param, caught.value.status) == ("model", 404)
    assert parse_chat_completion(BODY | {"model": "gpt-4o"}, SERVED, True).model == "gpt-4o"


def test_defaults_of_a_generation_request(convert: Convert) -> None:
    first, second = convert(), convert()
    assert first.request_id.startswith("chatcmpl-")
    assert first.request_id != second.request_id
    assert first.sampling.seed != second.sampling.seed
    assert first.prompt == ChatPrompt(messages=(USER,))
    assert (first.max_tokens, first.stop, first.stop_token_ids, first.num_choices) == (None, (), (), 1)
    assert (first.includes_stop, first.ignores_eos) == (False, False)
    assert (first.structure, first.max_thinking_tokens) == (None, None)
    assert first.arrival_seconds > 0


def test_fields_reach_the_generation_request(convert: Convert) -> None:
    request = convert(
        n=3,
        max_tokens=9,
        stop=["a"],
        stop_token_ids=[7, 7, 8],
        include_stop_str_in_output=True,
        ignore_eos=True,
        thinking_budget=4,
    )
    assert (request.num_choices, request.max_tokens, request.stop) == (3, 9, ("a",))
    assert (request.stop_token_ids, request.includes_stop, request.ignores_eos) == ((7, 8), True, True)
    assert request.max_thinking_tokens == 4


@pytest.mark.parametrize("name", ["thinking_budget", "thinking_budget_tokens", "thinking_token_budget"])
def test_a_thinking_budget_has_three_names(convert: Convert, name: str) -> None:
    assert convert(**{name: 0}).max_thinking_tokens == 0
    assert convert(**{name: -1}).max_thinking_tokens is None


def test_two_thinking_budgets_must_agree(convert: Convert) -> None:
    assert convert(thinking_budget=3, thinking_token_budget=3).max_thinking_tokens == 3
    with pytest.raises(InvalidRequestError) as caught:
        convert(thinking_budget=3, thinking_token_budget=4)
    assert caught.value.param == "thinking_budget"


def test_top_logprobs_need_logprobs(convert: Convert) -> None:
    assert convert(top_logprobs=0).sampling.num_top_logprobs is None
    for fields in ({"top_logprobs": 3}, {"top_logprobs": 3, "logprobs": False}):
        with pytest.raises(InvalidRequestError) as caught:
            convert(**fields)
        assert caught.value.param == "top_logprobs"


NEUTRAL = {
    "tools": [],
    "tool_choice": "none",
    "functions": [],
    "function_call": "auto",
    "parallel_tool_calls": True,
    "response_format": {"type": "text"},
    "logprobs": False,
    "logit_bias": {},
    "modalities": ["text"],
    "stream_options": {"include_usage": True},
    "something_else": 5,
}


@pytest.mark.parametrize(("field", "value"), NEUTRAL.items())
def test_values_that_ask_for_nothing_are_accepted(convert: Convert, field: str, value: Any) -> None:
    assert convert(**{field: value}).prompt == ChatPrompt(messages=(USER,))


def test_a_refusal_says_what_would_be_accepted(convert: Convert) -> None:
    with pytest.raises(UnsupportedFieldError, match="`medium` is accepted") as caught:
        convert(verbosity="high")
    assert caught.value.param == "verbosity"
