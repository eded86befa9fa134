"""OpenAI's Python package, the synchronous client: what each call sends and gets by itself."""

from __future__ import annotations

import json
import math
from typing import Any

import openai
import pytest

from tests.clients.forms import (
    ANIMAL_MESSAGES,
    API_KEY,
    MODEL,
    QUESTION_MESSAGES,
    WEATHER_MESSAGES,
    WEATHER_TOOL,
    Animal,
    Weather,
)

ANIMAL_FORMAT: Any = {
    "type": "json_schema",
    "json_schema": {"name": "animal", "strict": True, "schema": Animal.model_json_schema()},
}
# A small model that may go on calling does so until its tokens are spent.
ONE_CALL: Any = {"parallel_tool_calls": False, "max_tokens": 80}
BY_NAME: Any = {"type": "function", "function": {"name": "get_weather"}}


@pytest.fixture(scope="module")
def client(base_url: str) -> openai.OpenAI:
    return openai.OpenAI(base_url=base_url, api_key=API_KEY, max_retries=0)


def test_a_whole_answer(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(
        model=MODEL, messages=QUESTION_MESSAGES, max_completion_tokens=12, temperature=0
    )
    message = answer.choices[0].message
    assert (message.role, message.refusal, message.tool_calls) == ("assistant", None, None)
    assert message.content
    assert answer.model == MODEL and answer.system_fingerprint
    assert answer.usage is not None and answer.usage.completion_tokens <= 12
    assert answer.usage.prompt_tokens_details is not None


def test_a_streamed_answer(client: openai.OpenAI) -> None:
    options: Any = {"model": MODEL, "messages": QUESTION_MESSAGES, "max_tokens": 12, "temperature": 0}
    chunks = list(
        client.chat.completions.create(**options, stream=True, stream_options={"include_usage": True})
    )
    *earlier, last = chunks
    deltas = [chunk.choices[0].delta for chunk in earlier]
    assert [delta.role for delta in deltas] == ["assistant"] + [None] * (len(deltas) - 1)
    assert all(chunk.usage is None for chunk in earlier)
    assert last.choices == [] and last.usage is not None
    assert earlier[-1].choices[0].finish_reason in ("stop", "length")
    assert len({chunk.id for chunk in chunks}) == 1
    whole = client.chat.completions.create(**options)
    assert "".join(delta.content or "" for delta in deltas) == whole.choices[0].message.content
    assert whole.usage is not None and whole.usage.total_tokens == last.usage.total_tokens


def test_a_structured_answer(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(
        model=MODEL, messages=ANIMAL_MESSAGES, response_format=ANIMAL_FORMAT, max_tokens=80
    )
    assert answer.choices[0].finish_reason == "stop"
    Animal.model_validate_json(answer.choices[0].message.content or "")


def test_json_mode(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(
        model=MODEL,
        messages=[{"role": "user", "content": "A short JSON object with the key name."}],
        response_format={"type": "json_object"},
        max_tokens=60,
        temperature=0,
    )
    choice = answer.choices[0]
    assert (choice.message.content or "").lstrip().startswith("{")
    if choice.finish_reason == "stop":
        assert isinstance(json.loads(choice.message.content or ""), dict)


@pytest.mark.parametrize("tool_choice", ["required", BY_NAME], ids=["required", "by name"])
def test_a_tool_call(client: openai.OpenAI, tool_choice: Any) -> None:
    answer = client.chat.completions.create(
        model=MODEL, messages=WEATHER_MESSAGES, tools=[WEATHER_TOOL], tool_choice=tool_choice, **ONE_CALL
    )
    message = answer.choices[0].message
    assert message.content is None and message.tool_calls
    call = message.tool_calls[0]
    assert call.type == "function" and call.id and call.function.name == "get_weather"
    Weather.model_validate_json(call.function.arguments)
    assert len(message.tool_calls) == 1
    # OpenAI ends a call that was asked for by its name with "stop", every other one with "tool_calls".
    assert answer.choices[0].finish_reason in ("tool_calls", "stop")


def test_a_streamed_tool_call(client: openai.OpenAI) -> None:
    chunks = client.chat.completions.create(
        model=MODEL,
        messages=WEATHER_MESSAGES,
        tools=[WEATHER_TOOL],
        tool_choice="required",
        stream=True,
        **ONE_CALL,
    )
    pieces = [call for chunk in chunks for call in chunk.choices[0].delta.tool_calls or []]
    functions = [piece.function for piece in pieces if piece.function is not None]
    assert {piece.index for piece in pieces} == {0}
    assert pieces[0].id and functions[0].name == "get_weather"
    assert all(piece.id is None for piece in pieces[1:])
    Weather.model_validate_json("".join(function.arguments or "" for function in functions))


def test_the_answer_to_a_tools_result(client: openai.OpenAI) -> None:
    first = client.chat.completions.create(
        model=MODEL, messages=WEATHER_MESSAGES, tools=[WEATHER_TOOL], tool_choice="required", **ONE_CALL
    )
    asked = first.choices[0].message
    assert asked.tool_calls
    results: Any = [
        {"role": "tool", "tool_call_id": call.id, "content": "It is sunny."} for call in asked.tool_calls
    ]
    messages = [*WEATHER_MESSAGES, asked.model_dump(exclude_none=True), *results]
    second = client.chat.completions.create(
        model=MODEL, messages=messages, tools=[WEATHER_TOOL], tool_choice="none", max_tokens=12
    )
    assert second.choices[0].message.content and second.choices[0].message.tool_calls is None


def test_logprobs(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(
        model=MODEL, messages=QUESTION_MESSAGES, max_tokens=6, temperature=0, logprobs=True, top_logprobs=3
    )
    logprobs = answer.choices[0].logprobs
    assert logprobs is not None and logprobs.content
    text = b"".join(bytes(entry.bytes or []) for entry in logprobs.content).decode()
    assert text == answer.choices[0].message.content
    for entry in logprobs.content:
        assert len(entry.top_logprobs) == 3
        assert entry.top_logprobs[0].token == entry.token
        assert sum(math.exp(other.logprob) for other in entry.top_logprobs) <= 1.0001


def test_several_choices(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(
        model=MODEL, messages=QUESTION_MESSAGES, n=3, max_tokens=8, temperature=1.5, seed=1
    )
    assert [choice.index for choice in answer.choices] == [0, 1, 2]
    assert len({choice.message.content for choice in answer.choices}) > 1


def test_extensions_of_local_servers(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(
        model=MODEL,
        messages=QUESTION_MESSAGES,
        max_tokens=8,
        extra_body={"top_k": 5, "min_p": 0.1, "repetition_penalty": 1.1, "guided_choice": ["Paris", "Oslo"]},
    )
    assert answer.choices[0].message.content in ("Paris", "Oslo")


def test_plain_completions(client: openai.OpenAI) -> None:
    answer = client.completions.create(model=MODEL, prompt=["One, two,", "A, B,"], max_tokens=4, echo=True)
    assert [choice.index for choice in answer.choices] == [0, 1]
    assert answer.choices[0].text.startswith("One, two,")
    chunks = client.completions.create(model=MODEL, prompt="One, two,", max_tokens=4, stream=True)
    assert "".join(chunk.choices[0].text for chunk in chunks if chunk.choices)


def test_models(client: openai.OpenAI) -> None:
    names = [model.id for model in client.models.list()]
    assert MODEL in names
    assert [client.models.retrieve(name).id for name in names] == names


@pytest.mark.parametrize(
    ("change", "error", "param"),
    [
        ({"model": "gpt-9"}, openai.NotFoundError, "model"),
        ({"temperature": 9}, openai.BadRequestError, "temperature"),
        ({"n": 0}, openai.BadRequestError, "n"),
        ({"logit_bias": {"999999999": 1}}, openai.BadRequestError, "logit_bias"),
        ({"top_logprobs": 5}, openai.BadRequestError, "top_logprobs"),
        ({"tool_choice": "required"}, openai.BadRequestError, "tool_choice"),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_errors(
    client: openai.OpenAI,
    change: dict[str, Any],
    error: type[openai.APIStatusError],
    param: str,
    stream: bool,
) -> None:
    options = {"model": MODEL, "messages": QUESTION_MESSAGES, "stream": stream} | change
    with pytest.raises(error) as caught:
        client.chat.completions.create(**options)
    assert caught.value.param == param
    assert caught.value.type == "invalid_request_error"
    assert caught.value.request_id
