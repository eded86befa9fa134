"""LangChain's ChatOpenAI."""

from __future__ import annotations

from typing import Any, Literal

import pytest
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage, ToolMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI

from tests.clients.forms import (
    ANIMAL_QUESTION,
    API_KEY,
    MODEL,
    QUESTION,
    WEATHER_QUESTION,
    Animal,
    Weather,
    get_weather,
)

weather_tool = tool(get_weather)


@pytest.fixture(scope="module")
def chat(base_url: str) -> ChatOpenAI:
    options: Any = {"model": MODEL, "base_url": base_url, "api_key": API_KEY, "max_tokens": 80}
    return ChatOpenAI(**options, max_retries=0, stream_usage=True)


def test_a_whole_answer(chat: ChatOpenAI) -> None:
    answer = chat.invoke(QUESTION, max_tokens=8)
    assert isinstance(answer, AIMessage) and answer.text
    assert answer.usage_metadata is not None and answer.usage_metadata["output_tokens"] <= 8


def test_a_streamed_answer(chat: ChatOpenAI) -> None:
    full: AIMessageChunk | None = None
    for chunk in chat.stream(QUESTION, max_tokens=8):
        assert isinstance(chunk, AIMessageChunk)
        full = chunk if full is None else full + chunk
    assert full is not None and full.text
    assert full.usage_metadata is not None and full.usage_metadata["output_tokens"] <= 8


async def test_a_batch(chat: ChatOpenAI) -> None:
    answers = await chat.abatch([QUESTION] * 4, max_tokens=4)
    assert all(answer.text for answer in answers)


@pytest.mark.parametrize("method", ["json_schema", "function_calling"])
@pytest.mark.parametrize("strict", [None, True])
def test_a_structured_answer(
    chat: ChatOpenAI, method: Literal["json_schema", "function_calling"], strict: bool | None
) -> None:
    answer = chat.with_structured_output(Animal, method=method, strict=strict).invoke(ANIMAL_QUESTION)
    assert isinstance(answer, Animal)


def test_a_tool_call_and_its_result(chat: ChatOpenAI) -> None:
    question = HumanMessage(WEATHER_QUESTION)
    asked = chat.bind_tools([weather_tool], tool_choice="get_weather", strict=True).invoke([question])
    (call, *_) = asked.tool_calls
    assert call["name"] == "get_weather"
    Weather.model_validate(call["args"])
    result = weather_tool.invoke(call)
    assert isinstance(result, ToolMessage) and "21 degrees" in result.text
    answer = chat.bind_tools([weather_tool], tool_choice="none").invoke(
        [question, asked, result], max_tokens=8
    )
    assert answer.text and not answer.tool_calls


def test_a_streamed_tool_call(chat: ChatOpenAI) -> None:
    one_call = chat.bind_tools([weather_tool], tool_choice="any", parallel_tool_calls=False, strict=True)
    full: AIMessageChunk | None = None
    for chunk in one_call.stream(WEATHER_QUESTION):
        assert isinstance(chunk, AIMessageChunk)
        full = chunk if full is None else full + chunk
    assert full is not None
    assert {call["name"] for call in full.tool_calls} == {"get_weather"}


def test_arguments_beyond_ascii(chat: ChatOpenAI) -> None:
    """Each of these characters is several tokens, which a streamed piece may not split."""

    @tool
    def create_customer(name: Literal["你好啊集团", "こんにちは株式会社"]) -> str:
        """Creates a customer."""
        return f"Created {name}."

    caller = chat.bind_tools([create_customer], tool_choice="create_customer")
    full: AIMessageChunk | None = None
    for chunk in caller.stream("Create a customer."):
        assert isinstance(chunk, AIMessageChunk)
        full = chunk if full is None else full + chunk
    assert full is not None
    result = create_customer.invoke(full.tool_calls[0]["args"])
    assert result in ("Created 你好啊集团.", "Created こんにちは株式会社.")


def test_logprobs(chat: ChatOpenAI) -> None:
    answer = chat.bind(logprobs=True, top_logprobs=2).invoke(QUESTION, max_tokens=4)
    assert len(answer.response_metadata["logprobs"]["content"]) > 0
