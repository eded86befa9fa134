"""The model's tokens as llguidance sees them, and texts as Lark terms over them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING

from llguidance import LLTokenizer

from api.text.grammar.errors import GrammarError

if TYPE_CHECKING:  # the compiler's process does without transformers, which takes seconds to import
    from api.text.tokenizer import Tokenizer


@dataclass(frozen=True, slots=True)
class VocabularySource:
    """What a token trie is built from: plain values, which can be sent to another process."""

    definition: str | None  # the content of tokenizer.json; None: the tokenizer is of another make
    eos_token_ids: tuple[int, ...]

    @classmethod
    def of(cls, tokenizer: Tokenizer) -> VocabularySource:
        return cls(
            tokenizer.definition(), tuple(sorted(filter(tokenizer.token_string, tokenizer.eos_token_ids)))
        )


def build_vocabulary(source: VocabularySource) -> LLTokenizer:
    """Returns the token trie, in which every end-of-sequence token of the model ends a grammar.

    0.2 s for 50,000 tokens, in which no other Python thread runs. Raises GrammarError for tokenizers
    that cannot be read byte by byte.
    """
    if source.definition is None:
        raise GrammarError("this model's tokenizer does not tell its tokens' bytes")
    try:
        return LLTokenizer(source.definition, eos_token=list(source.eos_token_ids) or None)
    except ValueError as error:
        raise GrammarError(f"this model's tokenizer cannot follow a grammar: {error}") from error


def lark_string(text: str) -> str:
    """Returns a Lark literal, which is a JSON string. Raises GrammarError for lone surrogates."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise GrammarError("it contains half of a surrogate pair") from error
    return json.dumps(text).replace("\x7f", "\\u007f")


def lark_terms(vocabulary: LLTokenizer, text: str) -> list[str]:
    """Returns the text as Lark terms, with its special tokens by their ids.

    A special token is no text for the parser: its name spelled in letters is something else.
    """
    terms: list[str] = []
    tokens = vocabulary.tokenize_str(text, parse_special=True)
    for is_special, group in groupby(tokens, vocabulary.is_special_token):
        if is_special:
            terms += [f"<[{token}]>" for token in group]
        else:
            terms.append(lark_string(vocabulary.decode_str(list(group))))
    return terms
