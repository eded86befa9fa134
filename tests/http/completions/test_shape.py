from typing import Any

import pytest

from api.errors import InvalidRequestError
from api.http.completions.shape import CompletionRequest
from api.http.fields.validation import validate_body
from api.http.tokenize.shape import DetokenizeRequest, TokenizeRequest


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({}, "prompt"),
        ({}, "prompt"),
        ({"prompt": 5}, "prompt"),
        ({"prompt": []}, "prompt"),
        ({"prompt": [[]]}, "prompt[0]"),
        ({"prompt": ["a", 1]}, "prompt[1]"),
        ({"prompt": [1, "a"]}, "prompt[1]"),
        ({"prompt": [True]}, "prompt[0]"),
        ({"prompt": [1, -1]}, "prompt[1]"),
        ({"prompt": [1.5]}, "prompt[0]"),
        ({"prompt": [[1], 2]}, "prompt[1]"),
        ({"prompt": ["x"] * 2049}, "prompt"),
        ({"prompt": "x", "logprobs": 6}, "logprobs"),
        ({"prompt": "x", "logprobs": True}, "logprobs"),
        ({"prompt": "x", "max_tokens": -1}, "max_tokens"),
        ({"prompt": "x", "echo": 1}, "echo"),
        ({"prompt": "x", "priority": "0"}, "priority"),
        ({"prompt": "x", "cache_salt": ""}, "cache_salt"),
    ],
)
def test_a_wrong_value_is_refused_by_its_path(fields: dict[str, Any], param: str) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        validate_body(CompletionRequest, {"model": "m", **fields})
    assert caught.value.param == param


@pytest.mark.parametrize(
    ("model", "fields", "param"),
    [
        (TokenizeRequest, {"prompt": 5}, "prompt"),
        (TokenizeRequest, {"messages": []}, "messages"),
        (TokenizeRequest, {"prompt": "x", "add_special_tokens": "no"}, "add_special_tokens"),
        (DetokenizeRequest, {}, "tokens"),
        (DetokenizeRequest, {"tokens": [1, None]}, "tokens[1]"),
        (DetokenizeRequest, {"tokens": [-1]}, "tokens[0]"),
    ],
)
def test_bodies_of_the_tokenizer(model: Any, fields: dict[str, Any], param: str) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        validate_body(model, fields)
    assert caught.value.param == param
