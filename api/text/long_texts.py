"""Long texts to tokens without what transformers adds to them: in half the time, beside other threads."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

MIN_LONG_CHARS = 8192

Encode = Callable[[str, bool], list[int]]
"""A text to ids, with or without the tokens that the tokenizer puts around a text."""

_SAMPLES = ("Hello, world!\n\n  12 x 3 = 36", " The caf\u00e9 \U0001f600 \u4f60\u597d\t", "a")


def find_long_encode(rust_tokenizer: Any, encode: Encode) -> Encode | None:
    """Returns the library's own encoding below ``encode``, which transformers wraps; None where they differ.

    They do where a model brings code of its own. ``rust_tokenizer``: None for tokenizers of another make.
    """
    if rust_tokenizer is None or not hasattr(rust_tokenizer, "encode_batch_fast"):
        return None

    def encode_long(text: str, adds_special_tokens: bool) -> list[int]:
        (encoded,) = rust_tokenizer.encode_batch_fast([text], add_special_tokens=adds_special_tokens)
        return list(encoded.ids)

    is_same = all(
        encode(text, adds) == encode_long(text, adds) for text in _SAMPLES for adds in (False, True)
    )
    return encode_long if is_same else None
