from __future__ import annotations

import json
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from api.errors import InvalidRequestError
from api.text.grammar.errors import SchemaError
from api.text.grammar.value_keywords import MAX_EXACT_INTEGER, MultipleOf, read_count, read_numbers
from benchmarks.json_schemas import Sampler

BOUNDS = (
    st.integers(-200, 200)
    | st.floats(-1000, 1000).map(lambda value: round(value, 3))
    | st.sampled_from([2**53, -(2**63), 1e-6, -1e-6])
)


@settings(deadline=None)
@given(
    low=BOUNDS,
    high=BOUNDS,
    low_keyword=st.sampled_from(["minimum", "exclusiveMinimum"]),
    high_keyword=st.sampled_from(["maximum", "exclusiveMaximum"]),
    type_name=st.sampled_from(["integer", "number"]),
    divisor=st.sampled_from([None, 1, 3, 0.5, 0.25, 12]),
)
def test_numbers_that_are_drawn_keep_their_bounds(
    compile_schema: Callable[[Any], Any],
    tokenizer: Any,
    low: float,
    high: float,
    low_keyword: str,
    high_keyword: str,
    type_name: str,
    divisor: float | None,
) -> None:
    schema = {"type": type_name, low_keyword: low, high_keyword: high}
    schema |= {"multipleOf": divisor} if divisor else {}
    try:
        grammar = compile_schema(schema)
    except InvalidRequestError:
        return  # nothing between, or beyond exact numbers
    sampler = Sampler(tokenizer)
    for _ in range(3):
        text, is_ended = sampler.draw(grammar.new_matcher())
        if is_ended:
            assert_within(json.loads(text, parse_float=Decimal), schema)


def assert_within(value: int | Decimal, schema: dict[str, Any]) -> None:
    number, bounds = Decimal(value), {key: Decimal(str(schema[key])) for key in schema if key != "type"}
    assert number >= bounds.get("minimum", number)
    assert number > bounds.get("exclusiveMinimum", number - 1)
    assert number <= bounds.get("maximum", number)
    assert number < bounds.get("exclusiveMaximum", number + 1)
    assert "multipleOf" not in bounds or number % bounds["multipleOf"] == 0
    assert schema["type"] == "number" or isinstance(value, int)


def test_bounds_beyond_exact_numbers_are_drawn_in() -> None:
    bounds = read_numbers({"minimum": -(2**63), "maximum": 2**64}, "#", MultipleOf())
    assert bounds == {"minimum": -MAX_EXACT_INTEGER, "maximum": MAX_EXACT_INTEGER}


def test_drawing_in_never_widens() -> None:
    for schema in ({"minimum": 2**60}, {"exclusiveMaximum": -(2**60)}):
        with pytest.raises(SchemaError, match="beyond exact"):
            read_numbers(schema, "#", MultipleOf())


def test_divisors_count_together() -> None:
    multiples = MultipleOf()
    multiples.add(0.01, "#")
    multiples.add(250, "#")
    with pytest.raises(SchemaError, match="too many digits"):
        multiples.add(7, "#/items")


@pytest.mark.parametrize(("value", "count"), [(3, 3), (3.0, 3), (None, None), (10**30, 2**31)])
def test_counts(value: Any, count: int | None) -> None:
    assert read_count({"maxItems": value}, "maxItems", "#") == count


@pytest.mark.parametrize(
    "bounds",
    [
        {"exclusiveMinimum": 0, "maximum": 1e-06},
        {"exclusiveMinimum": 3, "exclusiveMaximum": 3.5},
        {"exclusiveMaximum": -3, "minimum": -3.5},
        {"minimum": -0.5, "maximum": 0, "exclusiveMaximum": True},
    ],
)
def test_an_excluded_integer_next_to_the_other_bound_is_refused(
    compile_schema: Callable[[Any], Any], bounds: dict[str, Any]
) -> None:
    with pytest.raises(InvalidRequestError, match="so close to the other bound"):
        compile_schema({"type": "number", **bounds})
