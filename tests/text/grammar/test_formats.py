from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator, FormatChecker

from api.text.grammar import formats

CHECKER: FormatChecker = Draft202012Validator.FORMAT_CHECKER
# The optional packages behind the checker know these; the others would pass unseen.
KNOWN = sorted(formats.PATTERNS.keys() & CHECKER.checkers.keys())


def test_the_judge_knows_nearly_all() -> None:
    assert formats.PATTERNS.keys() - set(KNOWN) <= {"iri", "iri-reference", "duration"}


@pytest.mark.parametrize("name", KNOWN)
@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_whatever_a_pattern_matches_is_of_the_format(name: str, data: st.DataObject) -> None:
    pattern = re.compile(formats.PATTERNS[name], re.ASCII)
    text = data.draw(st.from_regex(pattern, fullmatch=True, alphabet=st.characters(codec="utf-8")))
    CHECKER.check(text, name)


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("date", ["2000-02-29", "2024-02-29", "1999-12-31", "0001-01-01"]),
        ("time", ["10:00:00Z", "23:59:59.123+05:30"]),
        ("date-time", ["2024-01-31T00:00:00-12:00"]),
        ("duration", ["P1Y2M3D", "PT1H30M", "P2W", "P1DT12H"]),
        ("email", ["first.last+tag@mail.example.org"]),
        ("hostname", ["localhost", "a-b.example.com"]),
        ("ipv4", ["255.255.0.1"]),
        ("ipv6", ["::1", "2001:db8::ff00:42:8329", "1:2:3:4:5:6:7:8"]),
        ("uuid", ["123E4567-e89b-12d3-a456-426614174000"]),
        ("uri", ["https://user@example.org:8080/a/b%20c?q=1&r#f", "mailto:a@b.c", "urn:isbn:123"]),
        ("json-pointer", ["", "/a~1b/0"]),
        ("relative-json-pointer", ["1/a", "0#"]),
    ],
)
def test_usual_values_are_within_it(name: str, values: list[str]) -> None:
    for value in values:
        assert re.fullmatch(formats.PATTERNS[name], value), value


@pytest.mark.parametrize(
    "date", ["1900-02-29", "2023-02-29", "0000-01-01", "2024-13-01", "2024-04-31", "24-01-01"]
)
def test_days_that_never_were(date: str) -> None:
    assert not re.fullmatch(formats.PATTERNS["date"], date)


@pytest.mark.parametrize("name", formats.PATTERNS)
def test_the_grammar_reads_the_patterns_alike(
    compile_schema: Callable[[Any], Any], sampler: Any, name: str
) -> None:
    grammar = compile_schema({"type": "string", "format": name})
    for _ in range(3):
        text, is_ended = sampler.draw(grammar.new_matcher())
        if is_ended:
            assert re.fullmatch(formats.PATTERNS[name], json.loads(text))
