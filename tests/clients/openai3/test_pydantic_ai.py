"""pydantic-ai's agents: results by a tool, by a response format and by a prompt."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from pydantic_ai import Agent, ModelRequest, NativeOutput, Tool, ToolOutput
from pydantic_ai.direct import model_request
from pydantic_ai.models import ModelRequestParameters
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider

from tests.clients.forms import (
    ANIMAL_QUESTION,
    API_KEY,
    MODEL,
    QUESTION,
    WEATHER_QUESTION,
    Animal,
    get_weather,
)


@pytest.fixture(scope="module")
def model(base_url: str) -> OpenAIChatModel:
    return OpenAIChatModel(MODEL, provider=OpenAIProvider(base_url=base_url, api_key=API_KEY))


async def test_a_whole_and_a_streamed_answer(model: OpenAIChatModel) -> None:
    agent = Agent(model, model_settings={"max_tokens": 8, "temperature": 0})

    async def streamed() -> str:
        async with agent.run_stream(QUESTION) as result:
            return [text async for text in result.stream_text(debounce_by=None)][-1]

    whole, text = await asyncio.gather(agent.run(QUESTION), streamed())
    assert whole.output and whole.output == text
    assert 0 < whole.usage.output_tokens <= 8


@pytest.mark.parametrize("form", [NativeOutput(Animal), ToolOutput(Animal)], ids=["format", "tool"])
async def test_a_structured_answer(model: OpenAIChatModel, form: Any) -> None:
    agent: Agent[None, Animal] = Agent(model, output_type=form, model_settings={"max_tokens": 80})
    result = await agent.run(ANIMAL_QUESTION)
    assert isinstance(result.output, Animal)


async def test_a_streamed_structured_answer(model: OpenAIChatModel) -> None:
    agent: Agent[None, Animal] = Agent(
        model, output_type=NativeOutput(Animal), model_settings={"max_tokens": 80}
    )
    async with agent.run_stream(ANIMAL_QUESTION) as result:
        assert isinstance(await result.get_output(), Animal)


async def test_a_tool_call(model: OpenAIChatModel) -> None:
    """An agent's loop would end when the model says so; this is its single step."""
    tool = Tool(get_weather).tool_def
    answer = await model_request(
        model,
        [ModelRequest.user_text_prompt(WEATHER_QUESTION)],
        model_settings={"max_tokens": 80, "tool_choice": "required", "parallel_tool_calls": False},
        model_request_parameters=ModelRequestParameters(function_tools=[tool]),
    )
    (call,) = answer.tool_calls
    assert (call.tool_name, answer.finish_reason) == ("get_weather", "tool_call")
    assert "21 degrees" in get_weather(**call.args_as_dict())
