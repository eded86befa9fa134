"""A grammar of single letters over a vocabulary in which only the first tokens are text."""

from __future__ import annotations

from functools import cache

from llguidance import LLMatcher, LLTokenizer, TokenizerWrapper

_FIRST = 32  # the character of token 0: printable ASCII comes first
_NUM_CHARACTERS = 95
_EOS = _NUM_CHARACTERS
_REGEX = "[a-m]{5}"
ALLOWED = tuple(ord(letter) - _FIRST for letter in "abcdefghijklm")


class _Characters:
    """What llguidance asks of a tokenizer."""

    eos_token_id = _EOS
    bos_token_id = None
    special_token_ids = (_EOS,)
    tokens = (*(bytes([_FIRST + i]) for i in range(_NUM_CHARACTERS)), b"\xff<eos>")

    def __call__(self, text: bytes | str) -> list[int]:
        return [byte - _FIRST for byte in (text.encode() if isinstance(text, str) else text)]


@cache
def _tokenizer() -> LLTokenizer:
    return LLTokenizer(TokenizerWrapper(_Characters()), eos_token=[_EOS])


class LetterGrammar:
    """``Grammar`` whose first token is one of ``ALLOWED``."""

    def new_matcher(self) -> LLMatcher:
        return LLMatcher(_tokenizer(), LLMatcher.grammar_from_regex(_REGEX), log_level=0)
