"""LlamaIndex's OpenAILike."""

from __future__ import annotations

from typing import Any

import pytest
from llama_index.core.llms import ChatMessage
from llama_index.core.prompts import PromptTemplate
from llama_index.core.tools import FunctionTool
from llama_index.llms.openai_like import OpenAILike

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

MESSAGES = [ChatMessage(role="user", content=QUESTION)]


@pytest.fixture(scope="module")
def llm(base_url: str) -> OpenAILike:
    return OpenAILike(
        model=MODEL,
        api_base=base_url,
        api_key=API_KEY,
        is_chat_model=True,
        is_function_calling_model=True,
        should_use_structured_outputs=True,
        context_window=8192,
        max_tokens=80,
        max_retries=0,
    )


def test_a_whole_answer(llm: OpenAILike) -> None:
    # Version 0.8.3 of its OpenAI package sends the object's own limit, whatever a call says.
    answer: Any = llm.model_copy(update={"max_tokens": 8}).chat(MESSAGES)
    assert answer.message.content
    assert 0 < answer.raw.usage.completion_tokens <= 8


def test_a_streamed_answer(llm: OpenAILike) -> None:
    pieces = list(llm.stream_chat(MESSAGES, max_tokens=8))
    assert "".join(piece.delta or "" for piece in pieces) == pieces[-1].message.content
    assert pieces[-1].message.content


async def test_asynchronous_answers(llm: OpenAILike) -> None:
    assert (await llm.achat(MESSAGES, max_tokens=4)).message.content
    pieces = [piece async for piece in await llm.astream_chat(MESSAGES, max_tokens=4)]
    assert pieces[-1].message.content


def test_a_plain_completion(base_url: str) -> None:
    llm = OpenAILike(model=MODEL, api_base=base_url, api_key=API_KEY, is_chat_model=False, max_tokens=4)
    assert llm.complete("One, two,").text
    assert [piece.text for piece in llm.stream_complete("One, two,")][-1]


def test_a_structured_answer(llm: OpenAILike) -> None:
    assert isinstance(llm.structured_predict(Animal, PromptTemplate(ANIMAL_QUESTION)), Animal)


def test_a_streamed_structured_answer(llm: OpenAILike) -> None:
    objects = list(llm.stream_structured_predict(Animal, PromptTemplate(ANIMAL_QUESTION)))
    assert isinstance(objects[-1], Animal)


def test_a_tool_call(llm: OpenAILike) -> None:
    tool = FunctionTool.from_defaults(get_weather, fn_schema=Weather)
    answer = llm.chat_with_tools([tool], user_msg=WEATHER_QUESTION, tool_required=True)
    (call, *_) = llm.get_tool_calls_from_response(answer)
    assert call.tool_name == "get_weather"
    Weather.model_validate(call.tool_kwargs)


def test_a_streamed_tool_call(llm: OpenAILike) -> None:
    tool = FunctionTool.from_defaults(get_weather, fn_schema=Weather)
    pieces = list(llm.stream_chat_with_tools([tool], user_msg=WEATHER_QUESTION, tool_required=True))
    (call, *_) = llm.get_tool_calls_from_response(pieces[-1])
    Weather.model_validate(call.tool_kwargs)


def test_a_tool_that_is_called(llm: OpenAILike) -> None:
    tool = FunctionTool.from_defaults(get_weather, fn_schema=Weather)
    answer = llm.predict_and_call([tool], user_msg=WEATHER_QUESTION, tool_required=True)
    assert "21 degrees" in answer.response
