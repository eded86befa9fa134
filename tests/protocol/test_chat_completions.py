from typing import Any

import pytest
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from api.errors import InvalidRequestError, ModelNotFoundError, ServerSideError, UnsupportedFieldError
from api.protocol.chat_completions import (
    ChunkWriter,
    Envelope,
    parse_chat_completion,
    to_generation_request,
    whole_response,
)
from api.schemas.chat_completions import ChatCompletionRequest
from api.server_handler import ServedModel
from api.types import Accepted, Failed, Finished, FinishReason, TextDelta, TextEvent, Usage

SERVED = ServedModel(("org/tiny", "tiny", "model"), 1700000000, 4096, "fp_0123456789ab")
USAGE = Usage(7, 3, 2)
USER = {"role": "user", "content": "hi"}
TOOL_CALL = {"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}


def parse(accept_any_model: bool = False, **fields: Any) -> ChatCompletionRequest:
    data = {"model": "model", "messages": [USER], **fields}
    return parse_chat_completion(data, SERVED, accept_any_model)


def envelope(**fields: Any) -> Envelope:
    body = parse(**fields)
    return Envelope.of(body, to_generation_request(body), SERVED)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("n", 2),
        ("tools", [{"type": "function", "function": {"name": "f"}}]),
        ("tool_choice", "required"),
        ("functions", [{"name": "f"}]),
        ("function_call", {"name": "f"}),
        ("response_format", {"type": "json_object"}),
        ("logprobs", True),
        ("top_logprobs", 3),
        ("logit_bias", {"999999999": 1}),
        ("frequency_penalty", 0.5),
        ("presence_penalty", -0.5),
        ("modalities", ["text", "audio"]),
        ("audio", {"voice": "x"}),
        ("reasoning_effort", "high"),
        ("prediction", {"type": "content"}),
        ("verbosity", "low"),
        ("web_search_options", {"x": 1}),
    ],
)
def test_what_would_change_the_answer_is_refused(field: str, value: Any) -> None:
    with pytest.raises(UnsupportedFieldError) as caught:
        parse(**{field: value})
    assert caught.value.param == field
    assert field in caught.value.message


NEUTRAL = {
    "n": 1,
    "tools": [],
    "tool_choice": "none",
    "functions": [],
    "function_call": "auto",
    "parallel_tool_calls": True,
    "response_format": {"type": "text"},
    "logprobs": False,
    "top_logprobs": 0,
    "logit_bias": {},
    "frequency_penalty": 0,
    "presence_penalty": 0.0,
    "modalities": ["text"],
    "verbosity": "medium",
    "store": True,
    "metadata": {"a": "b"},
    "user": "u",
    "service_tier": "auto",
    "stream_options": {"include_usage": True},
    "something_else": 5,
}


@pytest.mark.parametrize(("field", "value"), NEUTRAL.items())
def test_neutral_values_are_accepted(field: str, value: Any) -> None:
    assert parse(**{field: value}).model == "model"


@pytest.mark.parametrize(
    ("message", "param"),
    [
        ({"role": "tool", "content": "x"}, "messages[1].role"),
        ({"role": "function", "content": "x"}, "messages[1].role"),
        ({"role": "assistant", "content": None, "tool_calls": [TOOL_CALL]}, "messages[1].tool_calls"),
        ({"role": "assistant", "content": None}, "messages[1].content"),
        ({"role": "user"}, "messages[1].content"),
    ],
)
def test_messages_that_cannot_be_honoured_are_refused(message: dict[str, Any], param: str) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        parse(messages=[USER, message])
    assert caught.value.param == param


def test_continuing_needs_a_final_assistant_message() -> None:
    with pytest.raises(InvalidRequestError) as caught:
        parse(continue_final_message=True)
    assert caught.value.param == "continue_final_message"
    messages = [USER, {"role": "assistant", "content": "I"}]
    assert to_generation_request(parse(continue_final_message=True, messages=messages)).continue_final_message


@pytest.mark.parametrize("name", ["model", "tiny", "org/tiny"])
def test_known_names(name: str) -> None:
    assert parse(model=name).model == name


def test_an_unknown_name_is_refused_unless_any_is_accepted() -> None:
    with pytest.raises(ModelNotFoundError) as caught:
        parse(model="gpt-4o")
    assert (caught.value.param, caught.value.status) == ("model", 404)
    assert parse(accept_any_model=True, model="gpt-4o").model == "gpt-4o"


def test_defaults_of_a_generation_request() -> None:
    first, second = to_generation_request(parse()), to_generation_request(parse())
    assert first.request_id.startswith("chatcmpl-")
    assert first.request_id != second.request_id
    assert first.sampling.seed != second.sampling.seed
    sampling = first.sampling
    assert (sampling.temperature, sampling.top_p, sampling.top_k, sampling.min_p) == (1.0, 1.0, 0, 0.0)
    assert (first.max_tokens, first.stop) == (None, ())
    assert first.messages == ({"role": "user", "content": "hi"},)
    assert first.arrival_seconds > 0


def test_fields_reach_the_generation_request() -> None:
    request = to_generation_request(
        parse(temperature=0, top_p=0.5, top_k=-1, min_p=0.1, seed=-5, stop=["a"], max_tokens=9)
    )
    sampling = request.sampling
    assert (sampling.temperature, sampling.top_p, sampling.top_k, sampling.min_p) == (0.0, 0.5, 0, 0.1)
    assert (sampling.seed, request.stop, request.max_tokens) == (-5, ("a",), 9)


def test_whole_response_has_the_sdk_shape() -> None:
    payload = whole_response(envelope(), "Hello", FinishReason.LENGTH, USAGE)
    parsed = ChatCompletion.model_validate(payload, strict=True)
    assert parsed.choices[0].message.content == "Hello"
    assert parsed.choices[0].finish_reason == "length"
    assert parsed.model == "model"
    assert payload["usage"] == {
        "prompt_tokens": 7,
        "completion_tokens": 3,
        "total_tokens": 10,
        "prompt_tokens_details": {"cached_tokens": 2},
        "completion_tokens_details": {"reasoning_tokens": 0},
    }


def chunks(**fields: Any) -> list[dict[str, Any]]:
    writer = ChunkWriter(envelope(stream=True, **fields))
    events: list[TextEvent] = [
        Accepted("r", 7),
        TextDelta("r", "Hi"),
        Finished("r", FinishReason.STOP, USAGE),
    ]
    return [chunk for event in events for chunk in writer.feed(event)]


def test_a_stream_is_role_then_content_then_finish() -> None:
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks()]
    assert deltas == [{"role": "assistant", "content": "", "refusal": None}, {"content": "Hi"}, {}]
    assert [chunk["choices"][0]["finish_reason"] for chunk in chunks()] == [None, None, "stop"]
    assert not any("usage" in chunk for chunk in chunks())


def test_usage_comes_last_and_is_null_before() -> None:
    all_chunks = chunks(stream_options={"include_usage": True})
    assert [chunk["usage"] for chunk in all_chunks[:-1]] == [None, None, None]
    assert all_chunks[-1]["choices"] == []
    assert all_chunks[-1]["usage"]["total_tokens"] == 10
    for chunk in all_chunks:
        ChatCompletionChunk.model_validate(chunk, strict=True)


def test_all_chunks_share_one_identity() -> None:
    assert len({(chunk["id"], chunk["created"], chunk["system_fingerprint"]) for chunk in chunks()}) == 1


def test_a_failure_is_an_error_object() -> None:
    [payload] = ChunkWriter(envelope()).feed(Failed("r", ServerSideError("broken")))
    assert payload == {
        "error": {"message": "broken", "type": "server_error", "param": None, "code": "internal_error"}
    }
