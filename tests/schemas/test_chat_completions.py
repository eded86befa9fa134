from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.errors import InvalidRequestError
from api.schemas.chat_completions import ChatCompletionRequest
from api.schemas.validation import format_location, validate_body

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
        ("top_p", 0),
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
        ("logit_bias", [1]),
        ("tool_choice", 5),
        ("messages", []),
        ("messages", "hi"),
        ("model", 5),
        ("metadata", "x"),
        ("user", 5),
        ("store", "yes"),
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
    ],
)
def test_a_wrong_message_is_refused_by_its_path(message: Any, param: str) -> None:
    assert error_of(messages=[message]).param == param


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


def test_text_parts_are_joined_with_nothing() -> None:
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    assert parse(messages=[{"role": "user", "content": parts}]).messages[0].text == "ab"


def test_locations_read_like_openai_paths() -> None:
    assert format_location(("messages", 0, "content", "<list>", 1, "type")) == "messages[0].content[1].type"


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
