"""OpenAI's Python package: ``.parse()`` and ``.stream()``, which put answers together themselves."""

from __future__ import annotations

from typing import Any

import openai
import pytest

from tests.clients.forms import (
    ANIMAL_MESSAGES,
    API_KEY,
    MODEL,
    QUESTION_MESSAGES,
    WEATHER_MESSAGES,
    Animal,
    Weather,
)

# These helpers take an answer that its limit ends for an error, text included: the limits leave room.
ONE_CALL: Any = {"tool_choice": "required", "parallel_tool_calls": False, "max_tokens": 80}
TEXT: Any = {"messages": QUESTION_MESSAGES, "temperature": 0, "max_tokens": 60}
WEATHER_TOOLS: Any = [openai.pydantic_function_tool(Weather, name="get_weather")]


@pytest.fixture(scope="module")
def client(base_url: str) -> openai.OpenAI:
    return openai.OpenAI(base_url=base_url, api_key=API_KEY, max_retries=0)


def test_parse_of_a_format(client: openai.OpenAI) -> None:
    answer = client.chat.completions.parse(
        model=MODEL, messages=ANIMAL_MESSAGES, response_format=Animal, max_tokens=80
    )
    assert isinstance(answer.choices[0].message.parsed, Animal)


def test_parse_of_a_strict_tool(client: openai.OpenAI) -> None:
    answer = client.chat.completions.parse(
        model=MODEL, messages=WEATHER_MESSAGES, tools=WEATHER_TOOLS, **ONE_CALL
    )
    (call, *_) = answer.choices[0].message.tool_calls or []
    assert isinstance(call.function.parsed_arguments, Weather)


def test_parse_of_a_truncated_answer(client: openai.OpenAI) -> None:
    with pytest.raises(openai.LengthFinishReasonError) as caught:
        client.chat.completions.parse(
            model=MODEL, messages=ANIMAL_MESSAGES, response_format=Animal, max_tokens=2
        )
    assert caught.value.completion.usage is not None
    assert caught.value.completion.usage.completion_tokens == 2


def test_stream_of_text(client: openai.OpenAI) -> None:
    with client.chat.completions.stream(
        model=MODEL, **TEXT, stream_options={"include_usage": True}
    ) as stream:
        events = list(stream)
        final = stream.get_final_completion()
    pieces = [event.delta for event in events if event.type == "content.delta"]
    done = [event.content for event in events if event.type == "content.done"]
    assert done == ["".join(pieces)] == [final.choices[0].message.content]
    assert final.usage is not None and final.usage.completion_tokens <= 60


def test_stream_of_logprobs(client: openai.OpenAI) -> None:
    with client.chat.completions.stream(model=MODEL, **TEXT, logprobs=True, top_logprobs=2) as stream:
        final = stream.get_final_completion()
    logprobs = final.choices[0].logprobs
    assert logprobs is not None and logprobs.content
    text = "".join(entry.token for entry in logprobs.content)
    assert text == final.choices[0].message.content


def test_stream_of_a_format(client: openai.OpenAI) -> None:
    with client.chat.completions.stream(
        model=MODEL, messages=ANIMAL_MESSAGES, response_format=Animal, max_tokens=80
    ) as stream:
        final = stream.get_final_completion()
    assert isinstance(final.choices[0].message.parsed, Animal)


def test_stream_of_a_tool_call(client: openai.OpenAI) -> None:
    with client.chat.completions.stream(
        model=MODEL, messages=WEATHER_MESSAGES, tools=WEATHER_TOOLS, **ONE_CALL
    ) as stream:
        events = list(stream)
    (done, *_) = [event for event in events if event.type == "tool_calls.function.arguments.done"]
    assert done.name == "get_weather"
    assert isinstance(done.parsed_arguments, Weather)
    assert any(event.type == "tool_calls.function.arguments.delta" for event in events)
