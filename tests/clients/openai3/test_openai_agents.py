"""OpenAI's agents package, with its model for chat completions."""

from __future__ import annotations

from typing import Any

import openai
import pytest
from agents import Agent, ModelSettings, OpenAIChatCompletionsModel, Runner, function_tool

from tests.clients.forms import (
    ANIMAL_QUESTION,
    API_KEY,
    MODEL,
    QUESTION,
    WEATHER_QUESTION,
    Animal,
    get_weather,
)

weather_tool = function_tool(get_weather)


@pytest.fixture(scope="module")
def model(base_url: str) -> OpenAIChatCompletionsModel:
    client = openai.AsyncOpenAI(base_url=base_url, api_key=API_KEY, max_retries=0)
    return OpenAIChatCompletionsModel(MODEL, openai_client=client)


async def test_a_whole_answer(model: OpenAIChatCompletionsModel) -> None:
    agent = Agent(name="a", instructions="Be brief.", model=model, model_settings=ModelSettings(max_tokens=8))
    result = await Runner.run(agent, QUESTION)
    assert result.final_output
    assert 0 < result.context_wrapper.usage.output_tokens <= 8


async def test_a_streamed_answer(model: OpenAIChatCompletionsModel) -> None:
    settings = ModelSettings(max_tokens=8, include_usage=True)
    result = Runner.run_streamed(Agent(name="a", model=model, model_settings=settings), QUESTION)
    events: list[Any] = [event async for event in result.stream_events()]
    raw = [event.data for event in events if event.type == "raw_response_event"]
    text = "".join(data.delta for data in raw if data.type == "response.output_text.delta")
    assert text and text == result.final_output
    assert 0 < result.context_wrapper.usage.output_tokens <= 8


@pytest.mark.parametrize("streamed", [False, True])
async def test_a_structured_answer(model: OpenAIChatCompletionsModel, streamed: bool) -> None:
    agent = Agent(name="a", model=model, output_type=Animal, model_settings=ModelSettings(max_tokens=80))
    if streamed:
        stream = Runner.run_streamed(agent, ANIMAL_QUESTION)
        async for _ in stream.stream_events():
            pass
        assert isinstance(stream.final_output, Animal)
    else:
        assert isinstance((await Runner.run(agent, ANIMAL_QUESTION)).final_output, Animal)


@pytest.mark.parametrize("streamed", [False, True])
async def test_a_tool_call(model: OpenAIChatCompletionsModel, streamed: bool) -> None:
    agent = Agent(
        name="a",
        model=model,
        tools=[weather_tool],
        tool_use_behavior="stop_on_first_tool",
        model_settings=ModelSettings(max_tokens=80, tool_choice="required", parallel_tool_calls=False),
    )
    result: Any
    if streamed:
        result = Runner.run_streamed(agent, WEATHER_QUESTION)
        async for _ in result.stream_events():
            pass
    else:
        result = await Runner.run(agent, WEATHER_QUESTION)
    assert "21 degrees" in result.final_output


async def test_a_tools_result_goes_back(model: OpenAIChatCompletionsModel) -> None:
    agent = Agent(
        name="a",
        model=model,
        tools=[weather_tool],
        model_settings=ModelSettings(max_tokens=40, tool_choice="required"),
    )
    calls = await Runner.run(agent.clone(tool_use_behavior="stop_on_first_tool"), WEATHER_QUESTION)
    history: Any = [*calls.to_input_list(), {"role": "user", "content": "Thanks."}]
    settings = ModelSettings(max_tokens=8, tool_choice="none")
    result = await Runner.run(agent.clone(model_settings=settings), history)
    assert result.final_output
