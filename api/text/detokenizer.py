"""Tokens to text, one token at a time."""

from __future__ import annotations

import codecs

from api.text.tokenizer import Tokenizer

_new_utf8_decoder = codecs.getincrementaldecoder("utf-8")


class IncrementalDetokenizer:
    """Returns each character as soon as its last byte is there, at constant cost per token.

    All pieces together are ``tokenizer.decode`` of all tokens. Invalid bytes become one U+FFFD per
    broken sequence and leave their neighbours alone (a whole decode of SentencePiece byte tokens
    would give up every character of the run, which no stream can know in time).

    ``continues_text`` keeps the space before the first word, which a text's start would drop.
    """

    def __init__(self, tokenizer: Tokenizer, *, continues_text: bool = False) -> None:
        self._pieces = tokenizer.pieces
        self._utf8 = _new_utf8_decoder("replace")
        self._is_at_start = not continues_text
        self._previous_id: int | None = None

    @property
    def is_inside_character(self) -> bool:
        """Whether bytes wait for the rest of their character."""
        return bool(self._utf8.getstate()[0])

    def peek(self, token_id: int) -> bytes:
        """Returns the bytes that this token would add next, which may be a part of a character."""
        piece = self._pieces.following(self._previous_id, token_id)
        return self._pieces.first(token_id) if piece and self._is_at_start else piece

    def feed(self, token_id: int) -> str:
        """Returns the characters that this token completes; nothing for special tokens."""
        return self._utf8.decode(self._next_piece(token_id))

    def flush(self) -> str:
        """Returns U+FFFD when the text ends inside a character, else nothing."""
        return self._utf8.decode(b"", True)

    def _next_piece(self, token_id: int) -> bytes:
        piece = self._pieces.following(self._previous_id, token_id)
        if not piece:
            return piece
        if self._is_at_start:
            piece = self._pieces.first(token_id)  # nothing, where it is the first word's space
            self._is_at_start = False
        self._previous_id = token_id
        return piece
