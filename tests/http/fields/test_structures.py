from typing import Any

import pytest

from api.errors import InvalidRequestError
from api.types import Structure
from tests.http.converting import Convert

SCHEMA = {"$schema": "x", "type": "integer", "exclusiveMinimum": 0}
# ``response_format`` in the words of llama.cpp, llama-cpp-python, Together, Fireworks and TGI
FORM_SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}}
NAMED_SCHEMA = {"name": "n", "schema": FORM_SCHEMA}
TOOL = {"type": "function", "function": {"name": "f"}}
STRICT_TOOL = {"type": "function", "function": {"name": "g", "strict": True}}


def json_schema(**fields: Any) -> dict[str, Any]:
    return {"type": "json_schema", "json_schema": {"name": "n", **fields}}


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"response_format": {"type": "text"}}, None),
        ({"response_format": {"type": "json_object"}}, Structure("json_object")),
        ({"response_format": json_schema(schema=SCHEMA)}, Structure("json_schema", SCHEMA)),
        ({"response_format": json_schema(schema=SCHEMA, strict=True)}, Structure("json_schema", SCHEMA)),
        ({"response_format": json_schema()}, Structure("json_object")),
        ({"guided_json": SCHEMA}, Structure("json_schema", SCHEMA, "guided_json")),
        ({"guided_json": '{"type": "null"}'}, Structure("json_schema", {"type": "null"}, "guided_json")),
        ({"guided_json": True}, Structure("json_schema", True, "guided_json")),
        ({"guided_regex": "a+"}, Structure("regex", "a+", "guided_regex")),
        ({"guided_choice": ["a", "b"]}, Structure("choice", ("a", "b"), "guided_choice")),
        ({"guided_grammar": "start: x"}, Structure("lark", "start: x", "guided_grammar")),
        ({"guided_json_object": True}, Structure("json_object", param="guided_json_object")),
        ({"guided_json_object": False}, None),
        ({"guided_decoding": {"regex": "a"}}, Structure("regex", "a", "guided_decoding.regex")),
        ({"json_schema": SCHEMA}, Structure("json_schema", SCHEMA, "json_schema")),
        ({"json_schema": '{"type": "null"}'}, Structure("json_schema", {"type": "null"}, "json_schema")),
        ({"json_schema": ""}, None),
        ({"regex": "a+"}, Structure("regex", "a+", "regex")),
        ({"grammar": "root ::= x"}, Structure("lark", "root ::= x", "grammar")),
        ({"grammar": ""}, None),
        ({"grammar": {"type": "regex", "value": "a"}}, Structure("regex", "a", "grammar.value")),
        ({"grammar": {"type": "json", "value": SCHEMA}}, Structure("json_schema", SCHEMA, "grammar.value")),
        ({"ebnf": "root ::= x"}, Structure("lark", "root ::= x", "ebnf")),
        ({"format": "json"}, Structure("json_object", param="format")),
        ({"format": SCHEMA}, Structure("json_schema", SCHEMA, "format")),
        ({"format": ""}, None),
    ],
)
def test_each_way_to_ask(convert: Convert, fields: dict[str, Any], expected: Structure | None) -> None:
    assert convert(**fields).structure == expected


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("json", SCHEMA, Structure("json_schema", SCHEMA, "structured_outputs.json")),
        ("regex", "a", Structure("regex", "a", "structured_outputs.regex")),
        ("choice", ["a"], Structure("choice", ("a",), "structured_outputs.choice")),
        ("grammar", "start: x", Structure("lark", "start: x", "structured_outputs.grammar")),
        ("json_object", True, Structure("json_object", param="structured_outputs.json_object")),
    ],
)
def test_structured_outputs(convert: Convert, name: str, value: Any, expected: Structure) -> None:
    assert convert(structured_outputs={name: value}).structure == expected


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        (
            {"type": "json_object", "schema": FORM_SCHEMA},
            Structure("json_schema", FORM_SCHEMA, "response_format.schema"),
        ),
        (
            {"type": "json_schema", "schema": FORM_SCHEMA},
            Structure("json_schema", FORM_SCHEMA, "response_format.schema"),
        ),
        (
            {"type": "json_object", "schema": '{"type": "null"}'},
            Structure("json_schema", {"type": "null"}, "response_format.schema"),
        ),
        ({"type": "json_object", "json_schema": NAMED_SCHEMA}, Structure("json_schema", FORM_SCHEMA)),
        ({"type": "json_object", "schema": None}, Structure("json_object")),
        (
            {"type": "json", "value": FORM_SCHEMA},
            Structure("json_schema", FORM_SCHEMA, "response_format.value"),
        ),
        ({"type": "regex", "value": "a+"}, Structure("regex", "a+", "response_format.value")),
        ({"type": "regex", "pattern": "a+"}, Structure("regex", "a+", "response_format.pattern")),
        (
            {"type": "grammar", "grammar": "root ::= x"},
            Structure("lark", "root ::= x", "response_format.grammar"),
        ),
        ({"type": "grammar", "value": "start: x"}, Structure("lark", "start: x", "response_format.value")),
    ],
)
def test_each_form_of_response_format(convert: Convert, form: dict[str, Any], expected: Structure) -> None:
    assert convert(response_format=form).structure == expected


@pytest.mark.parametrize(
    ("form", "param"),
    [
        ({"type": "text", "schema": FORM_SCHEMA}, "response_format.schema"),
        ({"type": "text", "json_schema": NAMED_SCHEMA}, "response_format.json_schema"),
        (
            {"type": "json_object", "schema": FORM_SCHEMA, "json_schema": NAMED_SCHEMA},
            "response_format.schema",
        ),
        ({"type": "json_object", "schema": "{"}, "response_format.schema"),
        ({"type": "json_object", "schema": 5}, "response_format.schema"),
        ({"type": "json_object", "grammar": "start: x"}, "response_format.grammar"),
        ({"type": "json"}, "response_format.value"),
        ({"type": "regex"}, "response_format.value"),
        ({"type": "regex", "value": FORM_SCHEMA}, "response_format.value"),
        ({"type": "regex", "value": "a", "pattern": "a"}, "response_format.pattern"),
        ({"type": "grammar"}, "response_format.grammar"),
        ({"type": "structural_tag", "structures": [], "triggers": []}, "response_format.type"),
    ],
)
def test_what_does_not_go_together_in_response_format(
    convert: Convert, form: dict[str, Any], param: str
) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        convert(response_format=form)
    assert caught.value.param == param


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"response_format": {"type": "json_object"}, "guided_regex": "a"}, "guided_regex"),
        ({"guided_json": {}, "structured_outputs": {"regex": "a"}}, "guided_json"),
        ({"structured_outputs": {}}, "structured_outputs"),
        ({"structured_outputs": {"json_object": False}}, "structured_outputs"),
        ({"structured_outputs": {"regex": "a", "choice": ["a"]}}, "structured_outputs"),
        ({"response_format": {"type": "json_schema"}}, "response_format.json_schema"),
        ({"guided_json": "{"}, "guided_json"),
        ({"format": "json", "response_format": {"type": "json_object"}}, "format"),
        ({"regex": "a", "grammar": "start: x"}, "grammar"),
        ({"ebnf": "root ::= x", "json_schema": SCHEMA}, "ebnf"),
        ({"format": "yaml"}, "format"),
        ({"format": 5}, "format"),
        ({"grammar": {"type": "regex", "value": SCHEMA}}, "grammar.value"),
        ({"grammar": {"type": "yaml", "value": "x"}}, "grammar.type"),
        ({"guided_decoding": {}}, "guided_decoding"),
        (
            {"guided_decoding": {"json_object": True, "whitespace_pattern": " "}},
            "guided_decoding.whitespace_pattern",
        ),
        ({"regex": "a", "min_new_tokens": 3}, "min_new_tokens"),
        ({"guided_json": "5"}, "guided_json"),
        ({"guided_json": 5}, "guided_json"),
        ({"guided_choice": []}, "guided_choice"),
        ({"guided_regex": "a", "tools": [TOOL]}, "guided_regex"),
        ({"guided_regex": "a", "ignore_eos": True}, "ignore_eos"),
        ({"guided_regex": "a", "min_tokens": 3}, "min_tokens"),
        ({"tools": [TOOL], "tool_choice": "required", "min_tokens": 3}, "min_tokens"),
        ({"tools": [STRICT_TOOL], "ignore_eos": True}, "ignore_eos"),
    ],
)
def test_what_cannot_be_enforced_together(convert: Convert, fields: dict[str, Any], param: str) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        convert(**fields)
    assert caught.value.param == param


def test_tools_may_be_called_instead_of_a_structured_answer(convert: Convert) -> None:
    for choice in ("auto", "required"):
        request = convert(response_format=json_schema(schema=SCHEMA), tools=[TOOL], tool_choice=choice)
        assert request.structure is not None
    assert convert(guided_regex="a", tools=[TOOL], tool_choice="none").structure is not None


def test_calls_that_are_not_enforced_leave_the_end_open(convert: Convert) -> None:
    assert convert(tools=[TOOL], ignore_eos=True).ignores_eos
    assert convert(tools=[STRICT_TOOL], tool_choice="none", ignore_eos=True).ignores_eos
    only_f = {"mode": "auto", "tools": [TOOL]}
    choice = {"type": "allowed_tools", "allowed_tools": only_f}
    assert convert(tools=[TOOL, STRICT_TOOL], tool_choice=choice, min_tokens=2).sampling.min_tokens == 2
