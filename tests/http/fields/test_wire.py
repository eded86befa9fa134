from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from api.http.chat_completions.shape import ChatCompletionRequest
from api.http.completions.shape import CompletionRequest
from api.http.tokenize.shape import DetokenizeRequest, TokenizeRequest

REQUESTS = (ChatCompletionRequest, CompletionRequest, TokenizeRequest, DetokenizeRequest)
CHAT = {"model": "m", "messages": [{"role": "user", "content": "a"}]}


def lists_in(schema: Any) -> Iterator[dict[str, Any]]:
    if isinstance(schema, dict):
        if schema.get("type") == "list":
            yield schema
        schema = list(schema.values())
    if isinstance(schema, list | tuple):
        for inner in schema:
            yield from lists_in(inner)


@pytest.mark.parametrize("model", REQUESTS)
def test_every_list_is_checked_up_to_its_first_fault(model: type[BaseModel]) -> None:
    found = list(lists_in(model.__pydantic_core_schema__))
    assert found
    assert all(each.get("fail_fast") for each in found)


@pytest.mark.parametrize(
    ("model", "body"),
    [
        (DetokenizeRequest, {"tokens": ["a"] * 1000}),
        (CompletionRequest, {"model": "m", "prompt": [1] + ["a"] * 1000}),
        (ChatCompletionRequest, {"model": "m", "messages": [{"role": "user", "content": 1}] * 1000}),
        (ChatCompletionRequest, CHAT | {"stop_token_ids": ["a"] * 60}),
        (ChatCompletionRequest, CHAT | {"guided_choice": [1] * 1000}),
    ],
)
def test_one_fault_of_a_list_is_enough(model: type[BaseModel], body: Any) -> None:
    with pytest.raises(ValidationError) as caught:
        model.model_validate(body)
    assert caught.value.error_count() == 1


@pytest.mark.parametrize("field", ["logit_bias", "metadata"])
def test_the_faults_of_an_object_have_an_end_and_a_name(field: str) -> None:
    wrong = {f"a{number}": [] for number in range(50_000)}
    with pytest.raises(ValidationError) as caught:
        ChatCompletionRequest.model_validate(CHAT | {field: wrong})
    assert caught.value.error_count() <= 2000
    assert caught.value.errors()[0]["loc"][:2] == (field, "a0")


def test_an_object_of_many_entries_is_whole() -> None:
    bias = {str(number): 1.0 for number in range(2500)}
    assert ChatCompletionRequest.model_validate(CHAT | {"logit_bias": bias}).logit_bias == bias
