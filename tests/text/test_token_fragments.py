from __future__ import annotations

from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st

from api.text.token_fragments import Fragment, FragmentQueue, TokenFragments
from api.text.tokenizer import Tokenizer

LoadKind = Callable[[str], Tokenizer]


@given(pieces=st.lists(st.text("ab", max_size=3), max_size=6), sizes=st.lists(st.integers(0, 5), max_size=6))
def test_a_queue_loses_neither_text_nor_tokens(pieces: list[str], sizes: list[int]) -> None:
    queue = FragmentQueue()
    for piece in pieces:
        queue.append(Fragment(piece, 1))
    text, taken = "".join(pieces), []
    for size in sizes:
        part = queue.take(size)
        assert "".join(fragment.text for fragment in part) == text[:size]
        text = text[size:]
        assert queue.text == text
        taken += part
    taken += queue.take_all()
    assert sum(fragment.num_tokens for fragment in taken) == len(pieces)
    assert queue.take_all() == []


def test_tokens_of_one_character_come_together(load_kind: LoadKind) -> None:
    fragments = TokenFragments(load_kind("sentencepiece"))
    fed = [fragments.feed(1 + byte, None) for byte in b"\xe2\x82\xac"]
    assert fed == [[], [], [Fragment("\N{EURO SIGN}", 3)]]
    assert fragments.flush() == []


def test_a_special_token_breaks_a_character(load_kind: LoadKind) -> None:
    tokenizer = load_kind("sentencepiece")
    fragments = TokenFragments(tokenizer)
    (end,) = (i for i in tokenizer.encode("<|end|>") if tokenizer.token_string(i) == "<|end|>")
    assert fragments.feed(1 + 0xE2, None) == []
    assert fragments.feed(end, None) == [Fragment("\ufffd", 1), Fragment("<|end|>", 1, is_special=True)]


def test_flush_counts_tokens_without_text(load_kind: LoadKind) -> None:
    tokenizer = load_kind("byte_level")
    fragments = TokenFragments(tokenizer)
    assert fragments.feed(tokenizer.vocab_size + 1, None) == []  # an unused id
    assert fragments.flush() == [Fragment("", 1)]


def test_a_special_token_is_shown_only_as_text() -> None:
    fragment = Fragment("<|end|>", 1, is_special=True)
    assert fragment.as_shown().text == ""
    assert fragment.as_text().as_shown().text == "<|end|>"
