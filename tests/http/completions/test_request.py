from typing import Any

import pytest

from api.errors import InvalidRequestError, ModelNotFoundError
from api.http.completions.request import parse_completion, to_generation_request
from api.types import GenerationRequest, Structure, TextPrompts
from tests.http.converting import SERVED


def convert(**fields: Any) -> GenerationRequest:
    body = parse_completion({"model": "model", "prompt": "hi", **fields}, SERVED, False)
    return to_generation_request(body, SERVED)


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        ("hi", ("hi",)),
        ("", ("",)),
        (["a", "b"], ("a", "b")),
        ([1, 2], ((1, 2),)),
        ([[1, 2], [3]], ((1, 2), (3,))),
    ],
)
def test_prompts(prompt: Any, expected: tuple[Any, ...]) -> None:
    assert convert(prompt=prompt).prompt == TextPrompts(expected)


def test_the_place_in_the_queue_and_in_the_cache() -> None:
    request = convert(priority=3, cache_salt="tenant")
    assert (request.priority, request.cache_salt) == (3, "tenant")


def test_fields_reach_the_generation_request() -> None:
    request = convert(prompt=["a", "b"], n=2, best_of=2, logprobs=3, stop="x", guided_regex="a", suffix="")
    assert request.request_id.startswith("cmpl-")
    assert (request.num_choices, request.num_sequences) == (2, 4)
    assert (request.sampling.num_top_logprobs, request.stop) == (3, ("x",))
    assert request.structure == Structure("regex", "a", "guided_regex")
    assert convert(echo=True).prompt == TextPrompts(("hi",), echo=True)


def test_the_default_limit_is_openais() -> None:
    assert convert().max_tokens == 16
    assert convert(max_tokens=5).max_tokens == 5


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"prompt": [1000]}, "prompt"),
        ({"prompt": ["x"] * 100, "n": 21}, "prompt"),
        ({"best_of": 2}, "best_of"),
        ({"n": 2, "best_of": 1}, "best_of"),
        ({"suffix": "x"}, "suffix"),
        ({"stream": True, "prompt_logprobs": 0}, "prompt_logprobs"),
        ({"stop_token_ids": [1000]}, "stop_token_ids"),
        ({"guided_regex": "a", "guided_choice": ["a"]}, "guided_choice"),
        ({"guided_regex": "a", "ignore_eos": True}, "ignore_eos"),
    ],
)
def test_what_is_refused(fields: dict[str, Any], param: str) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        convert(**fields)
    assert caught.value.param == param


def test_an_unknown_model_is_refused() -> None:
    with pytest.raises(ModelNotFoundError):
        convert(model="gpt-4o")
