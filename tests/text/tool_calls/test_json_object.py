from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.text.tool_calls.json_object import JsonObjectScanner

values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text('{}[]"\\a', max_size=6),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text('{"\\', max_size=3), inner, max_size=3)
    ),
    max_leaves=8,
)


def scan(scanner: JsonObjectScanner, pieces: list[str]) -> int:
    return sum(scanner.feed(piece) for piece in pieces)


@given(
    value=st.dictionaries(st.text(max_size=3), values, max_size=3),
    rest=st.text(max_size=5),
    size=st.integers(1, 9),
)
def test_finds_the_end_however_the_text_is_cut(value: dict[str, Any], rest: str, size: int) -> None:
    text = json.dumps(value, ensure_ascii=False)
    whole = text + rest
    scanner = JsonObjectScanner()
    assert scan(scanner, [whole[i : i + size] for i in range(0, len(whole), size)]) == len(text)
    assert scanner.is_done and not scanner.is_in_string


@pytest.mark.parametrize(
    ("text", "is_in_string"),
    [('{"a', True), ('{"a\\"', True), ('{"a\\\\"', False), ('{"a": "b\\', True), ('{"a": [1, {', False)],
)
def test_knows_whether_a_string_is_open(text: str, is_in_string: bool) -> None:
    scanner = JsonObjectScanner()
    assert scanner.feed(text) == len(text)
    assert (scanner.is_in_string, scanner.is_done) == (is_in_string, False)


def test_an_object_that_is_open_already() -> None:
    scanner = JsonObjectScanner(depth=1)
    assert scanner.feed(', "id": {"a": "}"}} more') == len(', "id": {"a": "}"}}')
