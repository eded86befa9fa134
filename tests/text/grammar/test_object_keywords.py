from __future__ import annotations

from typing import Any

import pytest

from api.text.grammar.errors import SchemaError
from api.text.grammar.object_keywords import exclude_required, read_num_properties, restrict_names

VALUES = {"additionalProperties": {"type": ["integer"]}}


@pytest.mark.parametrize("names", [True, {}, {"type": ["string"]}, {"type": ["null", "string"]}])
def test_names_without_a_constraint(names: Any) -> None:
    assert restrict_names(VALUES, names, "#") == VALUES


@pytest.mark.parametrize("names", [False, {"type": ["integer"]}])
def test_names_that_no_key_can_have(names: Any) -> None:
    assert restrict_names(VALUES, names, "#")["maxProperties"] == 0


def test_names_of_an_enum_become_properties() -> None:
    restricted = restrict_names(VALUES, {"enum": ["a", 1]}, "#")
    assert restricted == {"properties": {"a": {"type": ["integer"]}}, "additionalProperties": False}


def test_names_by_pattern_become_pattern_properties() -> None:
    restricted = restrict_names({}, {"pattern": "^a$"}, "#")
    assert restricted == {"patternProperties": {"^a$": True}, "additionalProperties": False}


def test_exactly_one_of_required_properties() -> None:
    options = exclude_required([{"required": ["a"]}, {"required": ["b", "c"]}])
    assert options == [
        {"type": ["object"], "properties": {"b": False, "c": False}, "required": ["a"]},
        {"type": ["object"], "properties": {"a": False}, "required": ["b", "c"]},
    ]


def test_an_option_that_another_one_follows_from_is_none() -> None:
    options = exclude_required([{"required": ["a"]}, {"required": ["a", "b"]}])
    assert options == [{"type": ["object"], "properties": {"b": False}, "required": ["a"]}, False]


def test_other_options_are_left_alone() -> None:
    options: list[Any] = [{"required": ["a"]}, {"type": ["string"]}, True]
    assert exclude_required(options) is options


def test_repeated_keys_count_once() -> None:
    """So at most one property beyond the required ones can be promised."""
    assert read_num_properties({"minProperties": 2}, 1, "#") == {"minProperties": 2}
    with pytest.raises(SchemaError, match="minProperties"):
        read_num_properties({"minProperties": 3}, 1, "#")
