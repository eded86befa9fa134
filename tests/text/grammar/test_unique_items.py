from __future__ import annotations

from typing import Any

import pytest

from api.text.grammar.errors import SchemaError
from api.text.grammar.json_schema import rewrite
from api.text.grammar.unique_items import MAX_ARRANGEMENTS, distinct_values, spell_out


def lists_of(options: list[Any]) -> list[list[Any]]:
    return [[item["const"] for item in option.get("prefixItems", ())] for option in options]


def test_all_orders_of_few_values() -> None:
    assert lists_of(spell_out({}, ["a", "b"], "#")) == [[], ["a"], ["b"], ["a", "b"], ["b", "a"]]
    assert lists_of(spell_out({"minItems": 2}, [1, 2], "#")) == [[1, 2], [2, 1]]
    assert lists_of(spell_out({"minItems": 1, "maxItems": 1}, [1, 2], "#")) == [[1], [2]]


def test_one_order_of_more_values() -> None:
    options = lists_of(spell_out({}, list(range(8)), "#"))
    assert len(options) == 2**8 <= MAX_ARRANGEMENTS
    assert all(each == sorted(each) for each in options)


def test_bounds_that_nothing_fits_leave_nothing() -> None:
    assert spell_out({"minItems": 3}, [1, 2], "#") == []
    with pytest.raises(SchemaError, match="no array fits"):
        rewrite({"type": "array", "items": {"enum": [1, 2]}, "uniqueItems": True, "minItems": 3})


def test_too_many_values_are_refused() -> None:
    with pytest.raises(SchemaError, match=r"so many values .*#/tags"):
        spell_out({}, list(range(9)), "#/tags")


@pytest.mark.parametrize(
    ("items", "values"),
    [
        ({"enum": ["a", "b", "a"]}, ["a", "b"]),
        ({"enum": [1, 1.0, True, None]}, [1, True, None]),
        ({"enum": [1, "a", 1.5], "type": "integer"}, [1]),
        ({"enum": [1, "a", 1.5], "type": ["string", "number"]}, [1, "a", 1.5]),
        ({"const": 5, "title": "Five"}, [5]),
        ({"type": "boolean"}, [False, True]),
        ({"type": "integer"}, None),
        ({"enum": [[1]]}, None),
        ({"enum": ["a"], "minLength": 2}, None),
        (True, None),
    ],
)
def test_the_values_of_a_schema(items: Any, values: list[Any] | None) -> None:
    assert distinct_values(items) == values


def test_references_without_end_are_no_values() -> None:
    loop = {"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/a"}}}
    with pytest.raises(SchemaError, match="uniqueItems"):
        rewrite(
            {"type": "array", "items": {"$ref": "#/$defs/a"}, "uniqueItems": True, "$defs": loop["$defs"]}
        )
