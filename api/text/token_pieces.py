"""The bytes that each token adds to a text, read off the tokenizer's own decoder."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Protocol

REPLACEMENT = "\ufffd"

_HEX_BYTE = re.compile(r"<0x([0-9A-Fa-f]{2})>")
_ANCHOR_TEXTS = ("a", "e", "0", ".")
_SAMPLE = "The Zyxwv hasn't jumped over 1234567890 mmoollyy, (ok?) "


class Codec(Protocol):
    """What the pieces need to know of a tokenizer."""

    def encode(self, text: str, *, add_special_tokens: bool = False) -> list[int]: ...

    def decode(self, token_ids: Sequence[int]) -> str: ...

    def token_string(self, token_id: int) -> str: ...

    @property
    def vocab_size(self) -> int: ...


def _gpt2_alphabet() -> dict[str, int]:
    """Returns the character -> byte map of byte-level BPE: printable bytes stand for themselves."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(0x100) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {chr(0x100 + n): byte for n, byte in enumerate(others)}


_BYTE_OF_CHAR = _gpt2_alphabet()


class TokenPieces:
    """Asks the decoder once per token what the token adds after ordinary text, and remembers it.

    Asking the decoder, rather than imitating it, is what makes one path right for byte-level BPE,
    SentencePiece and WordPiece alike. Only for tokens that are parts of characters does the
    decoder's answer lose the bytes; those are read from the token's name.
    """

    def __init__(self, codec: Codec) -> None:
        self._codec = codec
        self._pieces: dict[int, bytes] = {}
        self._anchor = next(filter(self._is_plain_text, self._anchor_candidates()), None)
        self._is_context_free = True
        self._is_context_free = self._spells_sample()

    def first(self, token_id: int) -> bytes:
        """Returns what the token adds at the very start, where decoders drop or keep a space."""
        text = self._codec.decode([token_id])
        return self._read(self._anchor, token_id) if REPLACEMENT in text else text.encode("utf-8")

    def following(self, previous_id: int | None, token_id: int) -> bytes:
        """Returns what the token adds after others; empty for special tokens and unused ids."""
        if not self._is_context_free:
            return self._read_after(previous_id, token_id)
        piece = self._pieces.get(token_id)
        if piece is None:
            piece = self._pieces[token_id] = self._read(self._anchor, token_id)
        return piece

    def _read_after(self, previous_id: int | None, token_id: int) -> bytes:
        is_usable = previous_id is not None and self._is_plain_text(previous_id)
        return self._read(previous_id if is_usable else self._anchor, token_id)

    def _read(self, context_id: int | None, token_id: int) -> bytes:
        context = [] if context_id is None else [context_id]
        before, after = self._codec.decode(context), self._codec.decode([*context, token_id])
        text = after.removeprefix(before)
        if REPLACEMENT in text:
            return _bytes_of_name(self._codec.token_string(token_id), text)
        return text.encode("utf-8")

    def _anchor_candidates(self) -> Iterator[int]:
        for text in _ANCHOR_TEXTS:
            yield from self._codec.encode(text)[-1:]
        yield from range(self._codec.vocab_size)

    def _is_plain_text(self, token_id: int) -> bool:
        """False for bytes too: a decoder judges a run of byte tokens as one."""
        text = self._codec.decode([token_id])
        is_byte = _HEX_BYTE.fullmatch(self._codec.token_string(token_id)) is not None
        return bool(text.strip()) and REPLACEMENT not in text and not is_byte

    def _spells_sample(self) -> bool:
        """False where a token's text depends on its neighbour (word-end suffixes)."""
        token_ids = self._codec.encode(_SAMPLE)
        pieces = [self.first(token_id) for token_id in token_ids[:1]]
        pieces += [self.following(None, token_id) for token_id in token_ids[1:]]
        return b"".join(pieces).decode("utf-8", "replace") == self._codec.decode(token_ids)


def _bytes_of_name(name: str, text: str) -> bytes:
    """Returns the bytes whose lossy decoding is ``text``, as the token's name spells them."""
    for spelled in (_byte_fallback(name), _byte_level(name)):
        if spelled is not None and spelled.decode("utf-8", "replace") == text:
            return spelled
    return text.encode("utf-8")


def _byte_fallback(name: str) -> bytes | None:
    match = _HEX_BYTE.fullmatch(name)
    return bytes([int(match[1], 16)]) if match else None


def _byte_level(name: str) -> bytes | None:
    values = [_BYTE_OF_CHAR.get(char) for char in name]
    return None if None in values else bytes(value for value in values if value is not None)
