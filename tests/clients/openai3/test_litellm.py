"""litellm, by its own provider for OpenAI-compatible servers."""

from __future__ import annotations

import asyncio
from typing import Any

import litellm
import pytest
from litellm.exceptions import ContextWindowExceededError, NotFoundError

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


@pytest.fixture(scope="module")
def options(base_url: str) -> dict[str, Any]:
    return {"model": f"openai/{MODEL}", "api_base": base_url, "api_key": API_KEY, "num_retries": 0}


def test_a_whole_answer(options: dict[str, Any]) -> None:
    answer: Any = litellm.completion(**options, messages=QUESTION_MESSAGES, max_tokens=8)
    assert answer.choices[0].message.content
    assert 0 < answer.usage.completion_tokens <= 8


def test_a_streamed_answer(options: dict[str, Any]) -> None:
    chunks: Any = litellm.completion(
        **options,
        messages=QUESTION_MESSAGES,
        max_tokens=8,
        stream=True,
        stream_options={"include_usage": True},
    )
    rebuilt: Any = litellm.stream_chunk_builder(list(chunks))
    assert rebuilt.choices[0].message.content
    assert 0 < rebuilt.usage.completion_tokens <= 8


def test_a_structured_answer(options: dict[str, Any]) -> None:
    answer: Any = litellm.completion(
        **options, messages=ANIMAL_MESSAGES, response_format=Animal, max_tokens=80
    )
    Animal.model_validate_json(answer.choices[0].message.content)


@pytest.mark.parametrize("stream", [False, True])
def test_a_tool_call(options: dict[str, Any], stream: bool) -> None:
    answer: Any = litellm.completion(
        **options,
        messages=WEATHER_MESSAGES,
        tools=[WEATHER_TOOL],
        tool_choice="required",
        parallel_tool_calls=False,
        max_tokens=80,
        stream=stream,
    )
    if stream:
        answer = litellm.stream_chunk_builder(list(answer))
    (call, *_) = answer.choices[0].message.tool_calls
    assert call.function.name == "get_weather"
    Weather.model_validate_json(call.function.arguments)
    assert answer.choices[0].finish_reason == "tool_calls"


async def test_many_at_once(options: dict[str, Any]) -> None:
    calls = [
        litellm.acompletion(**options, messages=QUESTION_MESSAGES, max_tokens=4, seed=seed)
        for seed in range(6)
    ]
    answers: Any = await asyncio.gather(*calls)
    assert all(answer.choices[0].message.content for answer in answers)


def test_errors(options: dict[str, Any]) -> None:
    with pytest.raises(NotFoundError):
        litellm.completion(**options | {"model": "openai/gpt-9"}, messages=QUESTION_MESSAGES)
    with pytest.raises(ContextWindowExceededError):
        long: Any = [{"role": "user", "content": "lighthouse " * 9000}]
        litellm.completion(**options, messages=long)
