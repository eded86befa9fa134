"""OpenAI's Python package, the asynchronous client, with its calls in flight together."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import openai
import pytest
from openai.types.chat import ChatCompletion

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

TEXT: Any = {"model": MODEL, "messages": QUESTION_MESSAGES, "max_tokens": 12, "temperature": 0}


@pytest.fixture
async def client(base_url: str) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(base_url=base_url, api_key=API_KEY, max_retries=0) as client:
        yield client


async def whole(client: openai.AsyncOpenAI) -> str | None:
    answer: ChatCompletion = await client.chat.completions.create(**TEXT)
    return answer.choices[0].message.content


async def streamed(client: openai.AsyncOpenAI) -> str:
    chunks = await client.chat.completions.create(**TEXT, stream=True)
    return "".join([chunk.choices[0].delta.content or "" async for chunk in chunks if chunk.choices])


async def structured(client: openai.AsyncOpenAI) -> Animal | None:
    answer = await client.chat.completions.parse(
        model=MODEL, messages=ANIMAL_MESSAGES, response_format=Animal, max_tokens=80
    )
    return answer.choices[0].message.parsed


async def tool_call(client: openai.AsyncOpenAI) -> Weather:
    answer = await client.chat.completions.create(
        model=MODEL,
        messages=WEATHER_MESSAGES,
        tools=[WEATHER_TOOL],
        tool_choice="required",
        parallel_tool_calls=False,
        max_tokens=80,
    )
    (call, *_) = answer.choices[0].message.tool_calls or []
    assert call.type == "function"
    return Weather.model_validate_json(call.function.arguments)


async def test_all_kinds_of_calls_at_once(client: openai.AsyncOpenAI) -> None:
    text, pieces, animal, weather = await asyncio.gather(
        whole(client), streamed(client), structured(client), tool_call(client)
    )
    assert text and text == pieces
    assert isinstance(animal, Animal)
    assert weather.city in ("Paris", "Oslo")


async def test_a_stream_that_is_left_early(client: openai.AsyncOpenAI) -> None:
    stream = await client.chat.completions.create(**TEXT | {"max_tokens": 400}, stream=True)
    async with stream:
        async for _ in stream:
            break
    assert await whole(client)


async def test_a_streamed_error_is_an_exception(client: openai.AsyncOpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        await client.chat.completions.create(**TEXT | {"messages": []}, stream=True)
    assert caught.value.param == "messages"
