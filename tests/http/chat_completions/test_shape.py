from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.errors import InvalidRequestError
from api.http.chat_completions.message_shapes import AssistantMessage
from api.http.chat_completions.shape import ChatCompletionRequest
from api.http.fields.validation import format_location, validate_body

USER = {"role": "user", "content": "hi"}


def parse(**fields: Any) -> ChatCompletionRequest:
    return validate_body(ChatCompletionRequest, {"model": "m", "messages": [USER], **fields})


def error_of(**fields: Any) -> InvalidRequestError:
    with pytest.raises(InvalidRequestError) as caught:
        parse(**fields)
    return caught.value


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("stop", 5),
        ("stop", ""),
        ("stop", ["a"] * 5),
        ("max_tokens", True),
        ("max_tokens", 0),
        ("max_tokens", -1),
        ("max_tokens", 5.0),
        ("max_tokens", "5"),
        ("max_completion_tokens", 0),
        ("temperature", "1"),
        ("temperature", True),
        ("temperature", 2.1),
        ("temperature", -0.1),
        ("top_p", -0.1),
        ("top_p", 1.1),
        ("top_k", -2),
        ("top_k", 2**40),
        ("min_p", 1.5),
        ("seed", 2**63),
        ("seed", 1e30),
        ("stream", "true"),
        ("stream", 1),
        ("stream_options", []),
        ("n", 0),
        ("n", 129),
        ("n", True),
        ("logit_bias", [1]),
        ("logprobs", 1),
        ("top_logprobs", 21),
        ("frequency_penalty", 2.1),
        ("presence_penalty", -2.1),
        ("repetition_penalty", 0),
        ("stop_token_ids", [1] * 65),
        ("min_tokens", -1),
        ("ignore_eos", "yes"),
        ("tool_choice", 5),
        ("tool_choice", "any"),
        ("tools", {}),
        ("tools", [{"type": "function", "function": {"name": "f"}}] * 129),
        ("function_call", "required"),
        ("parallel_tool_calls", 1),
        ("response_format", "json"),
        ("reasoning_effort", "huge"),
        ("thinking_budget", -2),
        ("chat_template_kwargs", []),
        ("guided_choice", []),
        ("guided_regex", ""),
        ("guided_json", 5),
        ("verbosity", "loud"),
        ("messages", []),
        ("messages", "hi"),
        ("model", 5),
        ("metadata", "x"),
        ("priority", "high"),
        ("priority", 1.0),
        ("priority", True),
        ("priority", 2**63),
        ("cache_salt", ""),
        ("cache_salt", 5),
        ("cache_salt", "x" * 1025),
        ("extra_key", ["a"]),
        ("cache_prompt", "no"),
        ("id_slot", "1"),
        ("prompt_cache_key", 5),
        ("user", 5),
        ("store", "yes"),
        ("prediction", "text"),
        ("prediction", ["text"]),
    ],
)
def test_a_wrong_value_is_refused_by_name(field: str, value: Any) -> None:
    error = error_of(**{field: value})
    assert (error.status, error.param) == (400, field)
    assert f"'{field}'" in error.message


@pytest.mark.parametrize(
    ("message", "param"),
    [
        (5, "messages[0]"),
        ({"content": "hi"}, "messages[0].role"),
        ({"role": "king", "content": "hi"}, "messages[0].role"),
        ({"role": "user", "content": 5}, "messages[0].content"),
        ({"role": "user", "content": ["hi"]}, "messages[0].content[0]"),
        ({"role": "user", "content": [{"type": "image_url"}]}, "messages[0].content[0].type"),
        ({"role": "user", "content": [{"type": "text", "text": 5}]}, "messages[0].content[0].text"),
        ({"role": "user"}, "messages[0].content"),
        ({"role": "user", "content": None}, "messages[0].content"),
        ({"role": "user", "content": [{"type": "refusal", "refusal": "x"}]}, "messages[0].content[0].type"),
        ({"role": "tool", "content": "x"}, "messages[0].tool_call_id"),
        ({"role": "function", "content": "x"}, "messages[0].name"),
        ({"role": "assistant", "tool_calls": [5]}, "messages[0].tool_calls[0]"),
        ({"role": "assistant", "tool_calls": [{"id": "1"}]}, "messages[0].tool_calls[0].function"),
        (
            {"role": "assistant", "tool_calls": [{"id": "1", "function": {"name": "f", "arguments": []}}]},
            "messages[0].tool_calls[0].function.arguments",
        ),
        ({"role": "assistant", "content": [{"type": "refusal"}]}, "messages[0].content[0].refusal"),
    ],
)
def test_a_wrong_message_is_refused_by_its_path(message: Any, param: str) -> None:
    assert error_of(messages=[message]).param == param


@pytest.mark.parametrize("arguments", ['{"a": 1}', "", {"a": 1}, {}, None])
def test_arguments_of_an_earlier_call_may_be_an_object_or_none(arguments: Any) -> None:
    function = {"name": "f", "arguments": arguments}
    message = {"role": "assistant", "tool_calls": [{"id": "1", "function": function}]}
    [parsed] = parse(messages=[message]).messages
    assert isinstance(parsed, AssistantMessage) and parsed.tool_calls is not None
    assert parsed.tool_calls[0].function.arguments == arguments


@pytest.mark.parametrize("kind", ["image_url", "input_audio", "file", "video_url", "input_image"])
@pytest.mark.parametrize("role", ["system", "user", "assistant"])
def test_a_part_that_is_no_text_is_refused_and_told_why(role: str, kind: str) -> None:
    parts = [{"type": "text", "text": "What is this?"}, {"type": kind}]
    error = error_of(messages=[{"role": role, "content": parts}])
    assert (error.param, error.code) == ("messages[0].content[1].type", "unsupported_value")
    assert "the model takes text only" in error.message


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"tools": [{"type": "function"}]}, "tools[0].function"),
        ({"tools": [{"type": "function", "function": {"name": "a b"}}]}, "tools[0].function.name"),
        (
            {"tools": [{"type": "function", "function": {"name": "f", "parameters": []}}]},
            "tools[0].function.parameters",
        ),
        ({"tools": [{"type": "retrieval"}]}, "tools[0].type"),
        ({"tool_choice": {"type": "function"}}, "tool_choice.function"),
        ({"tool_choice": {"type": "allowed_tools"}}, "tool_choice.allowed_tools"),
        ({"functions": [{}]}, "functions[0].name"),
        ({"response_format": {}}, "response_format.type"),
        ({"response_format": {"type": "xml"}}, "response_format.type"),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"schema": {}}}},
            "response_format.json_schema.name",
        ),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": []}}},
            "response_format.json_schema.schema",
        ),
        ({"structured_outputs": {"json": 5}}, "structured_outputs.json"),
        ({"stream_options": {"include_usage": 1}}, "stream_options.include_usage"),
        ({"logit_bias": {"5": 101}}, "logit_bias.5"),
        ({"logit_bias": {"x": 1}}, "logit_bias.x"),
        ({"logit_bias": {"-1": 1}}, "logit_bias.-1"),
        ({"stop_token_ids": [1, True]}, "stop_token_ids[1]"),
        ({"metadata": {"a": 5}}, "metadata.a"),
        ({"prediction": {"content": "x"}}, "prediction.type"),
        ({"prediction": {"type": "json", "content": "x"}}, "prediction.type"),
        ({"prediction": {"type": "content"}}, "prediction.content"),
        ({"prediction": {"type": "content", "content": None}}, "prediction.content"),
        ({"prediction": {"type": "content", "content": {"text": "x"}}}, "prediction.content"),
        ({"prediction": {"type": "content", "content": ["x"]}}, "prediction.content[0]"),
        (
            {"prediction": {"type": "content", "content": [{"type": "image_url"}]}},
            "prediction.content[0].type",
        ),
        ({"prediction": {"type": "content", "content": [{"type": "text"}]}}, "prediction.content[0].text"),
    ],
)
def test_a_wrong_value_inside_is_refused_by_its_path(fields: dict[str, Any], param: str) -> None:
    error = error_of(**fields)
    assert error.param == param
    assert param in error.message


@pytest.mark.parametrize(
    "fields",
    [
        {"tools": [{"type": "custom", "custom": {"name": "x"}}]},
        {"tool_choice": {"type": "custom", "custom": {"name": "x"}}},
    ],
)
def test_custom_tools_are_refused_and_told_why(fields: dict[str, Any]) -> None:
    assert "functions only" in error_of(**fields).message


def test_a_missing_field_has_its_own_code() -> None:
    with pytest.raises(InvalidRequestError) as caught:
        validate_body(ChatCompletionRequest, {"messages": [USER]})
    assert (caught.value.param, caught.value.code) == ("model", "missing_required_parameter")


@pytest.mark.parametrize("body", [None, [], "x", 5])
def test_a_body_must_be_an_object(body: object) -> None:
    with pytest.raises(InvalidRequestError, match="must be a JSON object"):
        validate_body(ChatCompletionRequest, body)


def test_null_means_absent() -> None:
    names = set(ChatCompletionRequest.model_fields) - {"model", "messages"}
    assert parse(**dict.fromkeys(names)) == parse()


def test_the_newer_limit_wins() -> None:
    assert parse(max_tokens=5).answer_limit == 5
    assert parse(max_tokens=5, max_completion_tokens=7).answer_limit == 7
    assert parse().answer_limit is None


def test_stop_is_a_string_or_a_list() -> None:
    assert parse(stop="a").stop_strings == ("a",)
    assert parse(stop=["a", "b"]).stop_strings == ("a", "b")
    assert parse(stop=[]).stop_strings == ()


def test_locations_read_like_openai_paths() -> None:
    assert format_location(("messages", 0, "content", "<list>", 1, "type")) == "messages[0].content[1].type"


def test_a_schema_keeps_what_it_holds() -> None:
    schema = {"$schema": "x", "enum": [1, None], "exclusiveMinimum": 0, "default": None}
    body = parse(
        response_format={"type": "json_schema", "json_schema": {"name": "n", "schema": schema}},
        structured_outputs={"json": schema},
    )
    assert body.response_format is not None and body.response_format.json_schema is not None
    assert body.response_format.json_schema.schema_ == schema
    assert body.structured_outputs is not None and body.structured_outputs.json_ == schema


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@given(name=st.sampled_from(sorted(ChatCompletionRequest.model_fields)), value=json_values)
def test_any_value_is_taken_or_refused_with_400(name: str, value: Any) -> None:
    try:
        parse(**{name: value})
    except InvalidRequestError as error:
        assert error.status == 400
        assert error.param is not None and error.param.startswith(name)
