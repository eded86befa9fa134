from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.text.tool_calls.json_object import JsonObjectScanner, valid_json

values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text('{}[]"\\a', max_size=6),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text('{"\\', max_size=3), inner, max_size=3)
    ),
    max_leaves=8,
)


def scan(scanner: JsonObjectScanner, pieces: list[str]) -> tuple[int, str]:
    found = [scanner.feed(piece) for piece in pieces]
    return sum(num_chars for num_chars, _ in found), "".join(certain for _, certain in found)


@given(
    value=st.dictionaries(st.text(max_size=3), values, max_size=3),
    rest=st.text(max_size=5),
    size=st.integers(1, 9),
)
def test_finds_the_end_however_the_text_is_cut(value: dict[str, Any], rest: str, size: int) -> None:
    text = json.dumps(value, ensure_ascii=False)
    whole = text + rest
    scanner = JsonObjectScanner()
    assert scan(scanner, [whole[i : i + size] for i in range(0, len(whole), size)]) == (len(text), text)
    assert scanner.is_done and not scanner.is_in_string


@pytest.mark.parametrize(
    ("text", "is_in_string"),
    [('{"a', True), ('{"a\\"', True), ('{"a\\\\"', False), ('{"a": "b\\', True), ('{"a": [1, {', False)],
)
def test_knows_whether_a_string_is_open(text: str, is_in_string: bool) -> None:
    scanner = JsonObjectScanner()
    assert scanner.feed(text)[0] == len(text)
    assert (scanner.is_in_string, scanner.is_done) == (is_in_string, False)


def test_an_object_that_is_open_already() -> None:
    scanner = JsonObjectScanner(depth=1)
    assert scanner.feed(', "id": {"a": "}"}} more')[0] == len(', "id": {"a": "}"}}')


DAMAGED = [
    ('{"a": 1,}', {"a": 1}),
    ('{"a": [1, 2 , \n ],\t}', {"a": [1, 2]}),
    ('{"a": "one\ntwo\tthree\x01"}', {"a": "one\ntwo\tthree\x01"}),
    ('{"a": ",}", "b": ",]"}', {"a": ",}", "b": ",]"}),
    ("{'a': 'it\\'s', 'b': ['}', \"x'y\"]}", {"a": "it's", "b": ["}", "x'y"]}),
    ("{'a': 'say \"hi\"'}", {"a": 'say "hi"'}),
    ("{'a': 'it's' , 'b': 'x',}", {"a": "it's", "b": "x"}),
    ('{"a": True, "b": [False,None],"c": "True, None"}', {"a": True, "b": [False, None], "c": "True, None"}),
    ('{"a": True}', {"a": True}),
    (r'{"a": "it\'s \d+ C:\Users", "b": "\n\u00e9"}', {"a": r"it's \d+ C:\Users", "b": "\né"}),
    ('{"a": "\\\n"}', {"a": "\\\n"}),
]


@pytest.mark.parametrize(("text", "value"), DAMAGED)
@pytest.mark.parametrize("size", [1, 2, 3, 100])
def test_small_damage_is_mended(text: str, value: object, size: int) -> None:
    scanner = JsonObjectScanner()
    num_chars, certain = scan(scanner, [(text + "!")[i : i + size] for i in range(0, len(text) + 1, size)])
    assert (num_chars, json.loads(certain), scanner.is_done) == (len(text), value, True)
    assert json.loads(valid_json(text)) == json.loads(valid_json(f"[{text}]"))[0] == value


@pytest.mark.parametrize("text", ['{"a": nul}', '{"a" 1}', "{a: 1}", '{"a": it\'s}', '{"a": NaN, "b": TTFF}'])
def test_what_is_not_certain_stays_and_ends_where_it_did(text: str) -> None:
    assert JsonObjectScanner().feed(text) == (len(text), text)


@pytest.mark.parametrize(
    ("text", "certain", "rest"),
    [
        ('{"a": 1, ', '{"a": 1', ", "),
        ('{"a": Tr', '{"a": ', "Tr"),
        ('{"a": "b\\', '{"a": "b', "\\"),
        ('{"a": ', '{"a": ', ""),
    ],
)
def test_a_text_that_is_cut_comes_as_far_as_it_came(text: str, certain: str, rest: str) -> None:
    scanner = JsonObjectScanner()
    assert (scanner.feed(text)[1], scanner.flush(), scanner.flush()) == (certain, rest, "")


def test_valid_json_is_not_touched() -> None:
    text = '{"a":  "\u00e9",\n "b": 1 }'
    assert valid_json(text) == text
    with pytest.raises(ValueError):
        valid_json('{"a": ')


@pytest.mark.parametrize(
    ("text", "rest"),
    [
        ('{"a": {"b": [1, 2', "]}}"),
        ('{"a": {"b": 1}, ', " }"),
        ('{"a": True', "true}"),
        ("{'a': 'b'", '"}'),
        ('{"a": "b', ""),
        ('{"a": ', ""),
        ('{"a": 1}', ""),
    ],
)
def test_brackets_that_are_missing_where_it_was_to_end(text: str, rest: str) -> None:
    scanner = JsonObjectScanner()
    _, certain = scanner.feed(text)
    assert scanner.close() == rest
    if rest:
        json.loads(certain + rest)
