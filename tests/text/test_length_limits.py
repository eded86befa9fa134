from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from api.engine.loading.locate import locate_model
from api.errors import ContextLengthError
from api.text.length_limits import AnswerRoom, max_token_bytes
from api.text.tokenizer import Tokenizer, load_tokenizer
from tests.text.conftest import byte_level, metaspace, sentencepiece, wordpiece


@pytest.mark.parametrize(
    ("room", "wanted", "expected"),
    [
        (AnswerRoom(100, 1000, None), None, 60),
        (AnswerRoom(1000, 100, None), None, 60),
        (AnswerRoom(100, 1000, 20), None, 20),
        (AnswerRoom(100, 1000, 200), None, 60),
        (AnswerRoom(100, 1000, 20), 50, 50),
        (AnswerRoom(100, 1000, None), 60, 60),
        (AnswerRoom(100, 1000, None), 0, 0),
    ],
)
def test_an_answer_behind_40_tokens(room: AnswerRoom, wanted: int | None, expected: int) -> None:
    assert room.num_tokens(40, wanted, "messages") == expected


@pytest.mark.parametrize(
    ("room", "wanted", "words"),
    [
        (AnswerRoom(100, 1000, None), 61, "maximum context length is 100 tokens"),
        (AnswerRoom(40, 1000, None), None, "41 tokens (40 in the messages, 1 in the completion)"),
        (AnswerRoom(1000, 100, None), 61, "KV memory holds 100 tokens"),
    ],
)
def test_too_much_is_refused_by_the_prompts_name(room: AnswerRoom, wanted: int | None, words: str) -> None:
    with pytest.raises(ContextLengthError) as caught:
        room.num_tokens(40, wanted, "messages")
    assert caught.value.param == "messages" and words in caught.value.message


TEXTS = ("The quick brown fox", "a" * 500, "\U0001f600 schön \t  ", "日本語" * 20, "\x00\x7f")


@pytest.mark.parametrize("kind", ["byte_level", "sentencepiece"])
def test_no_token_stands_for_more(load_kind: Callable[[str], Tokenizer], kind: str) -> None:
    tokenizer = load_kind(kind)
    bound = max_token_bytes(tokenizer.definition())
    assert bound is not None
    for text in TEXTS:
        assert len(text.encode()) <= bound * len(tokenizer.encode(text))


@pytest.mark.parametrize("raw", [wordpiece(), metaspace()], ids=["wordpiece", "unknown token"])
def test_an_unknown_token_has_no_bound(raw: Any) -> None:
    assert max_token_bytes(raw.to_str()) is None


def definition(**changes: Any) -> str:
    return json.dumps(json.loads(byte_level().to_str()) | changes)


SPLIT = {"type": "Split", "pattern": {"Regex": "a"}, "invert": False}


@pytest.mark.parametrize(
    "changes",
    [
        {"normalizer": {"type": "Strip", "strip_left": True, "strip_right": True}},
        {"normalizer": {"type": "Replace", "pattern": {"Regex": " +"}, "content": " "}},
        {"normalizer": {"type": "Replace", "pattern": {"String": "ab"}, "content": ""}},
        {"normalizer": {"type": "Sequence", "normalizers": [{"type": "NFC"}, {"type": "NFKC"}]}},
        {"pre_tokenizer": {"type": "WhitespaceSplit"}},
        {"pre_tokenizer": {"type": "Sequence", "pretokenizers": [SPLIT | {"behavior": "Removed"}]}},
        {"added_tokens": [{"content": "<a>", "lstrip": False, "rstrip": True}]},
    ],
)
def test_what_drops_text_has_no_bound(changes: dict[str, Any]) -> None:
    assert max_token_bytes(definition(**changes)) is None


def test_normal_forms_and_kept_splits_count() -> None:
    plain = max_token_bytes(definition())
    assert plain is not None
    assert max_token_bytes(definition(normalizer={"type": "NFC"})) == 4 * plain
    assert max_token_bytes(definition(pre_tokenizer=SPLIT | {"behavior": "Isolated"})) == plain
    long = [{"content": "<" + "x" * 1000 + ">", "lstrip": False, "rstrip": False}]
    assert max_token_bytes(definition(added_tokens=long)) == 1002
    assert max_token_bytes(sentencepiece().to_str()) is not None


def test_a_tokenizer_of_another_make_has_no_bound() -> None:
    assert max_token_bytes(None) is None


@pytest.mark.model
def test_the_default_model_has_a_bound() -> None:
    bound = max_token_bytes(load_tokenizer(locate_model(None, print).folder).definition())
    assert bound is not None
    assert 16 <= bound <= 512
