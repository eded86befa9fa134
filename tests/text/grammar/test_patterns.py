from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from api.text.grammar.compiler import GrammarCompiler
from api.text.grammar.errors import GrammarError
from api.text.grammar.patterns import translate
from api.types import Structure
from benchmarks.json_schemas import Sampler


@pytest.mark.parametrize(
    ("pattern", "translated"),
    [
        ("^ab+$", "^ab+$"),
        (r"\d", "[0-9]"),
        (r"[^\d]", r"[^\p{Nd}]"),
        (r"[\w-.]", r"[0-9A-Za-z_\-.]"),
        (r"[.-\w]", r"[.\-0-9A-Za-z_]"),
        (r"[a-z-]", "[a-z-]"),
        ("[[a&&b~]", r"[\[a\&\&b\~]"),
        (r"[\]\-\\]", r"[\]\-\\]"),
        ("a.", r"a[^\n\r\x{2028}\x{2029}]"),
        ("[.]", "[.]"),
        ("[^]", "(?s:.)"),
        ("a*?b+?c??d{2}?", "a*b+c?d{2}"),
        ("(?:a)(b)(?<c>d)(?P<e>f)", "(?:a)(?:b)(?:d)(?:f)"),
        (r"\u00e9\x41\u{1f600}", r"\x{e9}\x{41}\x{1f600}"),
        (r"\/\-\@", r"/\-@"),
        (r"\p{Lu}", r"\p{Lu}"),
        (r"\t[\b]", r"\t[\x08]"),
    ],
)
def test_translation(pattern: str, translated: str) -> None:
    assert translate(pattern) == translated


@pytest.mark.parametrize(
    "pattern",
    [
        *("(?=a)", "(?!a)", "(?<=a)", "(?<!a)", "(?i)a", r"(a)\1", r"\bword\b", r"\k<a>", "a++", "a{2}+"),
        *("a{,3}", "a{", "[", "[a", "\\", "[]a]", "[--a]", r"\ud800", r"\cA", r"\Z"),
    ],
)
def test_what_has_no_equivalent_is_refused(pattern: str) -> None:
    with pytest.raises(GrammarError, match="regular expression"):
        translate(pattern)


PIECES = st.sampled_from(
    [
        *("a", "-", ".", r"\d", r"\w", r"\s", r"\S", r"\W", r"\D", "[a-c]", r"[^\w]", r"[\w-]", r"[^-\s]"),
        *("[&&~]", "x{1,3}", "(a|b)", r"[\d.-]", "z?", "y+", r"\.", r"[^\D]", r"[\W_]"),
    ]
)


@settings(deadline=None)
@given(st.lists(PIECES, min_size=1, max_size=6).map("".join))
def test_whatever_is_drawn_matches_the_pattern_as_it_was_written(
    compiler: GrammarCompiler, tokenizer: Any, pattern: str
) -> None:
    """Python's engine is the judge, once in its own reading and once in ECMAScript's (ASCII)."""
    grammar = compiler.compile(Structure("regex", pattern))
    text, is_ended = Sampler(tokenizer).draw(grammar.new_matcher())
    if is_ended:
        assert re.fullmatch(pattern, text)
        assert re.fullmatch(pattern, text, re.ASCII)
    _accepts_something(compiler, grammar.new_matcher, text)


def _accepts_something(compiler: GrammarCompiler, new_matcher: Callable[[], Any], text: str) -> None:
    tokens = compiler.vocabulary.tokenize_str(text)
    assert new_matcher().try_consume_tokens(tokens) == len(tokens)
