from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from mlx_lm.tokenizer_utils import load

from api.engine.loading.gguf.header import GgufHeader
from api.engine.loading.gguf.tokenizer import merges_from_scores, write_tokenizer
from api.errors import StartupError
from tests.engine.loading.tiny import tokenizer_metadata

TRICKY = "Héllo wörld 🎉  x\n\n\ty 2024 he'll\u200d"


def built(folder: Path, metadata: dict[str, Any]) -> Any:
    write_tokenizer(GgufHeader(folder / "m.gguf", metadata), folder)
    return load(folder)


def sentencepiece() -> dict[str, Any]:
    pieces = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
    scored = {"▁": -5.0, "a": -6.0, "b": -7.0, "c": -8.0, "bc": -2.0, "ab": -3.0, "▁ab": -1.0}
    return {
        "tokenizer.ggml.model": "llama",
        "tokenizer.ggml.tokens": [*pieces, *scored],
        "tokenizer.ggml.scores": [0.0] * len(pieces) + list(scored.values()),
        "tokenizer.ggml.token_type": [2, 3, 3] + [6] * 256 + [1] * len(scored),
        "tokenizer.ggml.bos_token_id": 1,
        "tokenizer.ggml.eos_token_id": 2,
        "tokenizer.ggml.unknown_token_id": 0,
    }


def test_control_tokens_stay_whole_and_merges_apply(tmp_path: Path) -> None:
    tokenizer = built(tmp_path, tokenizer_metadata())
    assert tokenizer.convert_ids_to_tokens(tokenizer.encode("<|im_start|>he he<|im_end|>")) == [
        "<|im_start|>",
        "he",
        "Ġhe",
        "<|im_end|>",
    ]
    assert tokenizer.eos_token_ids == {258}
    assert tokenizer.decode([257, 259], skip_special_tokens=True) == "he"


def test_text_comes_back_byte_for_byte(tmp_path: Path) -> None:
    tokenizer = built(tmp_path, tokenizer_metadata())
    assert tokenizer.decode(tokenizer.encode(TRICKY)) == TRICKY


def test_chat_template_travels(tmp_path: Path) -> None:
    tokenizer = built(tmp_path, tokenizer_metadata())
    assert tokenizer.apply_chat_template([{"role": "user", "content": "he"}], tokenize=True) == [259]


@pytest.mark.parametrize(
    ("pre", "words"),
    [
        ("smollm", ["Ġ", "1", "2", "3", "4", "5"]),
        ("llama-bpe", ["Ġ", "123", "45"]),
        ("qwen2", ["Ġ", "1", "2", "3", "4", "5"]),
        ("default", ["Ġ12345"]),
    ],
)
def test_digits_are_cut_as_the_pre_tokenizer_says(tmp_path: Path, pre: str, words: list[str]) -> None:
    tokenizer = built(tmp_path, tokenizer_metadata() | {"tokenizer.ggml.pre": pre})
    backend = tokenizer.backend_tokenizer
    assert [word for word, _ in backend.pre_tokenizer.pre_tokenize_str(" 12345")] == words


def test_bos_is_added_where_the_file_asks_for_it(tmp_path: Path) -> None:
    tokenizer = built(tmp_path, tokenizer_metadata() | {"tokenizer.ggml.add_bos_token": True})
    assert tokenizer.encode("he") == [257, 259]
    assert tokenizer.encode("he", add_special_tokens=False) == [259]


def test_sentencepiece_merges_by_score_and_falls_back_to_bytes(tmp_path: Path) -> None:
    tokenizer = built(tmp_path, sentencepiece())
    assert tokenizer.convert_ids_to_tokens(tokenizer.encode("ab")) == ["<s>", "▁ab"]
    # "bc" scores better than "ab", so it is merged first and "▁ab" never comes to be.
    assert tokenizer.convert_ids_to_tokens(tokenizer.encode("abc")) == ["<s>", "▁", "a", "bc"]
    assert tokenizer.convert_ids_to_tokens(tokenizer.encode("é", add_special_tokens=False)) == [
        "▁",
        "<0xC3>",
        "<0xA9>",
    ]
    assert tokenizer.decode(tokenizer.encode(TRICKY, add_special_tokens=False)) == TRICKY


def test_merges_from_scores_are_ordered_by_the_merged_piece() -> None:
    vocabulary = {"a": 0, "b": 1, "c": 2, "ab": 3, "bc": 4, "abc": 5}
    merges = merges_from_scores(vocabulary, [0.0, 0.0, 0.0, -2.0, -1.0, -3.0])
    assert merges == [("b", "c"), ("a", "b"), ("a", "bc"), ("ab", "c")]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"tokenizer.ggml.model": "bert"}, "'bert' is not supported"),
        ({"tokenizer.ggml.pre": "unheard-of"}, "'unheard-of' is not supported"),
        ({"tokenizer.ggml.merges": ["h no-such"]}, "not in the vocabulary"),
        ({"tokenizer.ggml.bos_token_id": 10**6, "tokenizer.ggml.add_bos_token": True}, "cannot build"),
    ],
)
def test_what_cannot_be_built_is_named(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    with pytest.raises(StartupError, match=message):
        built(tmp_path, tokenizer_metadata() | change)


def test_missing_key_is_named(tmp_path: Path) -> None:
    metadata = tokenizer_metadata()
    del metadata["tokenizer.ggml.merges"]
    with pytest.raises(StartupError, match=r"tokenizer\.ggml\.merges is missing"):
        built(tmp_path, metadata)
