from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from api.engine.loading.locate import locate_model
from api.text.token_bounds import max_token_bytes
from api.text.tokenizer import Tokenizer, load_tokenizer
from tests.text.conftest import byte_level, metaspace, sentencepiece, wordpiece

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
