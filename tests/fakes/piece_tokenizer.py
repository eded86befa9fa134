"""A tokenizer whose tokens are the texts that a test names."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from llguidance import LLTokenizer, TokenizerWrapper

from api.text.tokenizer import Tokenizer


class PieceTokenizer:
    """Token ``i`` is ``texts[i]``; then come special tokens, which have names and no text."""

    def __init__(self, texts: Sequence[str], special_names: Sequence[str] = ()) -> None:
        self._names = [*texts, *special_names]
        self._num_texts = len(texts)
        self.vocab_size = len(self._names)
        self.pieces = self

    def as_tokenizer(self) -> Tokenizer:
        return cast(Tokenizer, self)

    def first(self, token_id: int) -> bytes:
        return self.following(None, token_id)

    def following(self, previous_id: int | None, token_id: int) -> bytes:
        return self._names[token_id].encode() if token_id < self._num_texts else b""

    def token_string(self, token_id: int) -> str:
        return self._names[token_id] if token_id < self.vocab_size else ""

    def token_strings(self) -> list[str]:
        return self._names

    def special_token_name(self, token_id: int) -> str:
        return "" if token_id < self._num_texts else self.token_string(token_id)

    def token_text(self, token_id: int, *, is_first: bool = False) -> str:
        return self.token_string(token_id)

    def encode(self, text: str) -> list[int]:
        """The longest token first."""
        token_ids: list[int] = []
        while text:
            fitting = [i for i, name in enumerate(self._names) if name and text.startswith(name)]
            token_ids.append(max(fitting, key=lambda i: len(self._names[i])))
            text = text[len(self._names[token_ids[-1]]) :]
        return token_ids

    def id_of(self, text: str) -> int:
        return self._names.index(text)

    def with_grammars(self, eos: str) -> LLTokenizer:
        """The vocabulary for llguidance; ``eos`` is a special token's name."""
        return LLTokenizer(TokenizerWrapper(_Wrapped(self, self.id_of(eos))), eos_token=[self.id_of(eos)])


class _Wrapped:
    bos_token_id = None

    def __init__(self, tokenizer: PieceTokenizer, eos_token_id: int) -> None:
        size = tokenizer.vocab_size
        self._tokenizer = tokenizer
        self.eos_token_id = eos_token_id
        self.special_token_ids = [i for i in range(size) if tokenizer.special_token_name(i)]
        self.tokens = [tokenizer.following(None, i) or b"\xff<%d>" % i for i in range(size)]

    def __call__(self, text: Any) -> list[int]:
        return self._tokenizer.encode(text.decode() if isinstance(text, bytes) else text)
