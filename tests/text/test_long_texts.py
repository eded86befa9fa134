from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from api.text.long_texts import MIN_LONG_CHARS, find_long_encode
from api.text.tokenizer import Tokenizer
from tests.text.conftest import KINDS, byte_level

LONG = "The quick <think> brown <|end|> fox\n\n\U0001f600 \u4f60\u597d " * (MIN_LONG_CHARS // 30)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("adds", [False, True])
def test_long_texts_have_the_tokens_that_they_always_had(
    load_kind: Callable[[str], Tokenizer], kind: str, adds: bool
) -> None:
    tokenizer = load_kind(kind)
    wanted = tokenizer._backend.encode(LONG, add_special_tokens=adds, verbose=False)
    assert tokenizer.encode(LONG, add_special_tokens=adds) == wanted


def test_the_shorter_way_is_taken_where_both_agree() -> None:
    raw = byte_level()

    def encode(text: str, adds: bool) -> list[int]:
        return list(raw.encode(text, add_special_tokens=adds).ids)

    shorter = find_long_encode(raw, encode)
    assert shorter is not None
    assert shorter(LONG, False) == encode(LONG, False)
    assert find_long_encode(raw, lambda text, adds: [*encode(text, adds), 0]) is None


@pytest.mark.parametrize("other", [None, object()])
def test_tokenizers_of_another_make_have_no_shorter_way(other: Any) -> None:
    assert find_long_encode(other, lambda text, adds: []) is None
