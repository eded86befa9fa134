"""The official client against a real server."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import openai
import pytest
from pydantic import BaseModel

from api.events import OutputPiece
from tests.fakes.live_server import live_server
from tests.fakes.server_handler import FakeServerHandler, Script, calling, hello, saying

MESSAGES: Any = [{"role": "user", "content": "hi"}]
TOOL: Any = {
    "type": "function",
    "function": {"name": "add", "parameters": {"type": "object", "properties": {"a": {"type": "integer"}}}},
}


class Place(BaseModel):
    name: str
    people: int


@pytest.fixture(scope="module")
def server() -> Iterator[tuple[openai.OpenAI, FakeServerHandler]]:
    handler = FakeServerHandler()
    with live_server(handler) as url:
        yield openai.OpenAI(base_url=f"{url}/v1", api_key="any", max_retries=0), handler


@pytest.fixture
def sdk(server: tuple[openai.OpenAI, FakeServerHandler]) -> openai.OpenAI:
    return server[0]


@pytest.fixture
def play(server: tuple[openai.OpenAI, FakeServerHandler]) -> Any:
    @contextmanager
    def run(script: Script) -> Iterator[openai.OpenAI]:
        sdk, handler = server
        handler.script = script
        try:
            yield sdk
        finally:
            handler.script = hello

    return run


def test_a_whole_answer(sdk: openai.OpenAI) -> None:
    answer = sdk.chat.completions.create(model="model", messages=MESSAGES)
    assert answer.choices[0].message.content == "Hello ✓"
    assert answer.choices[0].message.tool_calls is None
    assert answer.usage is not None and answer.usage.total_tokens == 10
    assert answer.usage.completion_tokens_details is not None
    assert answer.usage.completion_tokens_details.reasoning_tokens == 1
    assert answer._request_id is not None


def test_a_stream(sdk: openai.OpenAI) -> None:
    chunks = list(
        sdk.chat.completions.create(
            model="model", messages=MESSAGES, stream=True, stream_options={"include_usage": True}
        )
    )
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == "Hello ✓"
    assert chunks[-1].usage is not None and chunks[-1].usage.completion_tokens == 3


def test_choices(sdk: openai.OpenAI) -> None:
    answer = sdk.chat.completions.create(model="model", messages=MESSAGES, n=3)
    assert [choice.index for choice in answer.choices] == [0, 1, 2]
    assert {choice.message.content for choice in answer.choices} == {"Hello ✓"}


def test_logprobs(sdk: openai.OpenAI) -> None:
    answer = sdk.chat.completions.create(model="model", messages=MESSAGES, logprobs=True, top_logprobs=2)
    logprobs = answer.choices[0].logprobs
    assert logprobs is not None and logprobs.content is not None
    assert "".join(each.token for each in logprobs.content) == "Hello ✓"
    assert bytes(logprobs.content[1].bytes or ()) == "lo ✓".encode()
    assert len(logprobs.content[0].top_logprobs) == 2


def test_a_tool_call_round_trips(play: Any) -> None:
    with play(calling("add", '{"a"', ": 1}")) as sdk:
        answer = sdk.chat.completions.create(model="model", messages=MESSAGES, tools=[TOOL])
    message = answer.choices[0].message
    [call] = message.tool_calls
    assert (call.function.name, call.function.arguments) == ("add", '{"a": 1}')
    assert (answer.choices[0].finish_reason, message.content) == ("tool_calls", None)
    result = {"role": "tool", "tool_call_id": call.id, "content": "1"}
    history = [*MESSAGES, message.model_dump(), result]
    with play(hello) as sdk:
        again = sdk.chat.completions.create(model="model", messages=history, tools=[TOOL])
    assert again.choices[0].message.content == "Hello ✓"


def test_a_streamed_tool_call_is_put_together(play: Any) -> None:
    with (
        play(calling("add", '{"a"', ": 1}")) as sdk,
        sdk.chat.completions.stream(model="model", messages=MESSAGES, tools=[TOOL]) as stream,
    ):
        events = list(stream)
        calls = stream.get_final_completion().choices[0].message.tool_calls
    assert calls is not None
    [call] = calls
    assert (call.id, call.function.name, call.function.arguments) == ("call_1", "add", '{"a": 1}')
    assert "tool_calls.function.arguments.done" in [event.type for event in events]


def test_a_parsed_answer(play: Any, server: tuple[openai.OpenAI, FakeServerHandler]) -> None:
    with play(saying(OutputPiece('{"name": "Oslo",'), OutputPiece(' "people": 7}'))) as sdk:
        answer = sdk.chat.completions.parse(model="model", messages=MESSAGES, response_format=Place)
    assert answer.choices[0].message.parsed == Place(name="Oslo", people=7)
    structure = server[1].requests[-1].structure
    assert structure is not None and structure.value["required"] == ["name", "people"]


def test_parsed_tool_calls(play: Any) -> None:
    tool = openai.pydantic_function_tool(Place)
    with play(calling("Place", '{"name": "Oslo", "people": 7}')) as sdk:
        answer = sdk.chat.completions.parse(model="model", messages=MESSAGES, tools=[tool])
    [call] = answer.choices[0].message.tool_calls
    assert call.function.parsed_arguments == Place(name="Oslo", people=7)


def test_reasoning(play: Any) -> None:
    with play(saying(OutputPiece(reasoning="2+2"), OutputPiece("4"))) as sdk:
        answer = sdk.chat.completions.create(model="model", messages=MESSAGES)
    assert answer.choices[0].message.reasoning_content == "2+2"
    assert answer.choices[0].message.content == "4"


def test_completions(sdk: openai.OpenAI) -> None:
    answer = sdk.completions.create(model="model", prompt=["a", "b"], logprobs=1)
    assert [choice.text for choice in answer.choices] == ["Hello ✓", "Hello ✓"]
    assert answer.choices[0].logprobs is not None
    assert answer.choices[0].logprobs.tokens == ["Hel", "lo ✓"]
    parts = sdk.completions.create(model="model", prompt="a", stream=True)
    assert "".join(part.choices[0].text for part in parts) == "Hello ✓"


def test_models(sdk: openai.OpenAI) -> None:
    assert [model.id for model in sdk.models.list()] == ["org/tiny", "tiny", "model"]
    assert sdk.models.retrieve("org/tiny").id == "org/tiny"


def test_errors_become_the_sdks_exceptions(sdk: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        sdk.chat.completions.create(model="model", messages=[])
    assert caught.value.param == "messages"
    with pytest.raises(openai.BadRequestError):
        sdk.chat.completions.create(model="model", messages=[], stream=True)
    with pytest.raises(openai.NotFoundError):
        sdk.models.retrieve("gpt-4o")
