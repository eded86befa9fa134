from __future__ import annotations

import json

import pytest

from api.text.grammar.compiler import GrammarCompiler
from api.text.grammar.errors import GrammarError
from api.text.grammar.vocabulary import lark_string, lark_terms
from api.text.tokenizer import Tokenizer


@pytest.mark.parametrize("text", ["a", 'quote " and \\', "line\nend\ttab", "\x7f\x00", "\u00e9\U0001f600"])
def test_lark_literals_are_printable_and_exact(text: str) -> None:
    literal = lark_string(text)
    assert json.loads(literal) == text
    assert literal.isprintable()


def test_half_a_character_is_no_literal() -> None:
    with pytest.raises(GrammarError, match="surrogate"):
        lark_string("\udc00")


def test_special_tokens_go_by_their_ids(compiler: GrammarCompiler, tokenizer: Tokenizer) -> None:
    special = tokenizer.encode("<|user|>")
    assert len(special) == 1
    assert lark_terms(compiler.vocabulary, "a<|user|>\nb") == ['"a"', f"<[{special[0]}]>", '"\\nb"']
    assert lark_terms(compiler.vocabulary, "<other>") == ['"<other>"']
    assert lark_terms(compiler.vocabulary, "") == []
