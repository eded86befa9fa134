from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from api.text.detokenizer import IncrementalDetokenizer
from api.text.tokenizer import Tokenizer
from tests.text.conftest import KINDS, SENTENCES

FAMILY = "\U0001f468\u200d\U0001f469\u200d\U0001f467"
TEXTS = [
    *SENTENCES,
    f"Family {FAMILY}, flag \U0001f1e9\U0001f1ea, \u4f60\u597d, e\u0301 \N{EURO SIGN}.",
    "  two spaces,\n\nlines\tand   more  ",
    "a , b . don ' t",
]

LoadKind = Callable[[str], Tokenizer]
relaxed = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
token_indices = st.lists(st.integers(0, 10_000), max_size=40)


def stream(tokenizer: Tokenizer, token_ids: list[int], **options: bool) -> list[str]:
    detokenizer = IncrementalDetokenizer(tokenizer, **options)
    return [*map(detokenizer.feed, token_ids), detokenizer.flush()]


def byte_ids(tokenizer: Tokenizer, data: bytes) -> list[int]:
    """SentencePiece spells bytes at ids 1 to 256; byte-level BPE has one character for each."""
    if tokenizer.token_string(1) == "<0x00>":
        return [1 + byte for byte in data]
    ids = {tokenizer.pieces.following(None, i): i for i in reversed(range(tokenizer.vocab_size))}
    return [ids[bytes([byte])] for byte in data]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("text", TEXTS)
def test_stream_equals_whole(load_kind: LoadKind, kind: str, text: str) -> None:
    tokenizer = load_kind(kind)
    token_ids = tokenizer.encode(text)
    assert "".join(stream(tokenizer, token_ids)) == tokenizer.decode(token_ids)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if not kind.startswith("sentencepiece")])
@relaxed
@given(indices=token_indices)
def test_any_tokens_equal_the_whole(load_kind: LoadKind, kind: str, indices: list[int]) -> None:
    tokenizer = load_kind(kind)
    token_ids = [index % (tokenizer.vocab_size + 3) for index in indices]  # some are unused ids
    assert "".join(stream(tokenizer, token_ids)) == tokenizer.decode(token_ids)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind.startswith("sentencepiece")])
@relaxed
@given(parts=st.lists(st.integers(0, 10_000) | st.characters(codec="utf-8"), max_size=40))
def test_valid_byte_tokens_equal_the_whole(load_kind: LoadKind, kind: str, parts: list[int | str]) -> None:
    tokenizer = load_kind(kind)
    token_ids: list[int] = []
    for part in parts:
        if isinstance(part, str):
            token_ids += byte_ids(tokenizer, part.encode())
        else:
            token_ids.append(257 + part % (tokenizer.vocab_size - 257))
    assert "".join(stream(tokenizer, token_ids)) == tokenizer.decode(token_ids)


@pytest.mark.parametrize("kind", ["byte_level", "sentencepiece"])
@relaxed
@given(data=st.binary(max_size=30))
def test_any_bytes_equal_their_lossy_decoding(load_kind: LoadKind, kind: str, data: bytes) -> None:
    tokenizer = load_kind(kind)
    pieces = stream(tokenizer, byte_ids(tokenizer, data), continues_text=True)
    assert "".join(pieces) == data.decode("utf-8", "replace")


@pytest.mark.parametrize("kind", ["byte_level", "sentencepiece"])
@relaxed
@given(text=st.text(st.characters(codec="utf-8"), max_size=10))
def test_each_character_comes_with_its_last_byte(load_kind: LoadKind, kind: str, text: str) -> None:
    tokenizer = load_kind(kind)
    detokenizer = IncrementalDetokenizer(tokenizer, continues_text=True)
    for char in text:
        *leading, last = byte_ids(tokenizer, char.encode())
        assert [detokenizer.feed(token_id) for token_id in leading] == [""] * len(leading)
        assert detokenizer.feed(last) == char
    assert detokenizer.flush() == ""


@pytest.mark.parametrize("kind", ["byte_level", "sentencepiece"])
def test_invalid_bytes_hold_nothing_back(load_kind: LoadKind, kind: str) -> None:
    tokenizer = load_kind(kind)
    detokenizer = IncrementalDetokenizer(tokenizer)
    lead, letter, wrong = byte_ids(tokenizer, b"\xe2A\xff")
    assert [detokenizer.feed(i) for i in (lead, letter)] == ["", "\ufffdA"]
    assert [detokenizer.feed(i) for i in (wrong, wrong)] == ["\ufffd", "\ufffd"]
    assert [detokenizer.feed(lead), detokenizer.flush(), detokenizer.flush()] == ["", "\ufffd", ""]


def test_first_space_belongs_to_the_text_before(load_kind: LoadKind) -> None:
    tokenizer = load_kind("sentencepiece")
    token_ids = tokenizer.encode("hello world")
    assert "".join(stream(tokenizer, token_ids)) == "hello world"
    assert "".join(stream(tokenizer, token_ids, continues_text=True)) == " hello world"


def test_special_tokens_do_not_end_the_start(load_kind: LoadKind) -> None:
    tokenizer = load_kind("sentencepiece")
    token_ids = [*tokenizer.encode("<|assistant|>")[-1:], *tokenizer.encode("hello")]
    assert "".join(stream(tokenizer, token_ids)) == "hello"


def test_a_replacement_character_of_the_vocabulary_is_text(load_kind: LoadKind) -> None:
    tokenizer = load_kind("sentencepiece")
    assert tokenizer.token_string(257) == "\ufffd"
    assert stream(tokenizer, [257, 257]) == ["\ufffd", "\ufffd", ""]


def test_streams_do_not_share_state(load_kind: LoadKind) -> None:
    tokenizer = load_kind("byte_level")
    first, second = IncrementalDetokenizer(tokenizer), IncrementalDetokenizer(tokenizer)
    lead, letter = byte_ids(tokenizer, b"\xe2A")
    assert (first.feed(lead), second.feed(letter)) == ("", "A")
