"""``response_format`` in the words of OpenAI, llama.cpp, llama-cpp-python, Together, Fireworks and TGI."""

from typing import Any

import pytest

from api.errors import InvalidRequestError
from api.types import Structure
from tests.http.converting import Convert

SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}}
NAMED = {"name": "n", "schema": SCHEMA}


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        (
            {"type": "json_object", "schema": SCHEMA},
            Structure("json_schema", SCHEMA, "response_format.schema"),
        ),
        (
            {"type": "json_schema", "schema": SCHEMA},
            Structure("json_schema", SCHEMA, "response_format.schema"),
        ),
        (
            {"type": "json_object", "schema": '{"type": "null"}'},
            Structure("json_schema", {"type": "null"}, "response_format.schema"),
        ),
        ({"type": "json_object", "json_schema": NAMED}, Structure("json_schema", SCHEMA)),
        ({"type": "json_object", "schema": None}, Structure("json_object")),
        ({"type": "json", "value": SCHEMA}, Structure("json_schema", SCHEMA, "response_format.value")),
        ({"type": "regex", "value": "a+"}, Structure("regex", "a+", "response_format.value")),
        ({"type": "regex", "pattern": "a+"}, Structure("regex", "a+", "response_format.pattern")),
        (
            {"type": "grammar", "grammar": "root ::= x"},
            Structure("lark", "root ::= x", "response_format.grammar"),
        ),
        ({"type": "grammar", "value": "start: x"}, Structure("lark", "start: x", "response_format.value")),
    ],
)
def test_each_form(convert: Convert, form: dict[str, Any], expected: Structure) -> None:
    assert convert(response_format=form).structure == expected


@pytest.mark.parametrize(
    ("form", "param"),
    [
        ({"type": "text", "schema": SCHEMA}, "response_format.schema"),
        ({"type": "text", "json_schema": NAMED}, "response_format.json_schema"),
        ({"type": "json_object", "schema": SCHEMA, "json_schema": NAMED}, "response_format.schema"),
        ({"type": "json_object", "schema": "{"}, "response_format.schema"),
        ({"type": "json_object", "schema": 5}, "response_format.schema"),
        ({"type": "json_object", "grammar": "start: x"}, "response_format.grammar"),
        ({"type": "json"}, "response_format.value"),
        ({"type": "regex"}, "response_format.value"),
        ({"type": "regex", "value": SCHEMA}, "response_format.value"),
        ({"type": "regex", "value": "a", "pattern": "a"}, "response_format.pattern"),
        ({"type": "grammar"}, "response_format.grammar"),
        ({"type": "structural_tag", "structures": [], "triggers": []}, "response_format.type"),
    ],
)
def test_what_does_not_go_together(convert: Convert, form: dict[str, Any], param: str) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        convert(response_format=form)
    assert caught.value.param == param
