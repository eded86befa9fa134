from __future__ import annotations

import json
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from api.errors import StartupError
from api.text.tokenizer import Tokenizer, load_tokenizer
from tests.text.conftest import byte_level, write_folder

TEXT = "Hello, how are you? \N{EURO SIGN} \N{LLAMA}"


def test_encode_and_decode_round_trip(load_kind: Callable[[str], Tokenizer]) -> None:
    tokenizer = load_kind("byte_level")
    assert tokenizer.decode(tokenizer.encode(TEXT)) == TEXT


def test_special_tokens_are_added_only_if_asked(load_kind: Callable[[str], Tokenizer]) -> None:
    tokenizer = load_kind("byte_level")
    begin, *rest = tokenizer.encode("Hello", add_special_tokens=True)
    assert rest == tokenizer.encode("Hello")
    assert tokenizer.token_string(begin) == "<|begin|>"


@pytest.mark.parametrize("kind", ["byte_level", "wordpiece"])
def test_spaces_before_punctuation_survive(load_kind: Callable[[str], Tokenizer], kind: str) -> None:
    tokenizer = load_kind(kind)  # its configuration asks for a clean-up
    assert tokenizer.decode(tokenizer.encode("a , b .")) == "a , b ."


def test_special_tokens_are_no_text_but_added_ones_are(load_kind: Callable[[str], Tokenizer]) -> None:
    tokenizer = load_kind("byte_level")
    assert tokenizer.decode(tokenizer.encode("<|user|><think>Hello<|end|>")) == "<think>Hello"


def test_eos_ids_are_the_models_and_the_tokenizers(tmp_path: Path) -> None:
    tokenizer = load_tokenizer(write_folder(tmp_path, byte_level()), eos_token_ids=[5])
    assert tokenizer.eos_token_ids == {5, *tokenizer.encode("<|end|>")}


def test_vocab_size_counts_added_tokens(load_kind: Callable[[str], Tokenizer]) -> None:
    tokenizer = load_kind("byte_level")
    assert tokenizer.vocab_size == max(tokenizer.encode("<think>")) + 1


def test_lone_surrogate_is_named(load_kind: Callable[[str], Tokenizer]) -> None:
    with pytest.raises(UnicodeEncodeError):
        load_kind("byte_level").encode("a\ud800")


def test_truncation_of_the_file_is_dropped(tmp_path: Path) -> None:
    raw = byte_level()
    raw.enable_truncation(3)
    raw.enable_padding(length=64)
    tokenizer = load_tokenizer(write_folder(tmp_path, raw))
    assert tokenizer.decode(tokenizer.encode(TEXT)) == TEXT


@pytest.mark.parametrize("content", [None, "{", '{"model": 5}', json.dumps({"version": "1.0", "model": {}})])
def test_missing_or_damaged_files_are_one_line(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "tokenizer.json").write_text(content)
    with pytest.raises(StartupError, match=str(tmp_path)) as caught:
        load_tokenizer(tmp_path)
    assert "\n" not in str(caught.value)


def test_a_missing_folder_is_not_looked_up_elsewhere(tmp_path: Path) -> None:
    with pytest.raises(StartupError, match="no tokenizer files"):
        load_tokenizer(tmp_path / "absent")


def test_one_thread_encodes_while_another_decodes(tmp_path: Path) -> None:
    raw = byte_level()
    token_ids = raw.encode(TEXT).ids
    raw.enable_truncation(3)  # to be dropped before the threads start: that mutates the tokenizer
    tokenizer = load_tokenizer(write_folder(tmp_path, raw))
    messages = [{"role": "user", "content": TEXT}]
    results: dict[str, set[str]] = {"encoded": set(), "decoded": set()}

    def encode() -> None:
        for _ in range(200):
            tokenizer.apply_chat_template(messages, continue_final_message=False)
            results["encoded"].add(str(tokenizer.encode(TEXT)))

    def decode() -> None:
        for _ in range(2000):
            results["decoded"].add(tokenizer.decode(token_ids))

    threads = [threading.Thread(target=encode), threading.Thread(target=decode)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == {"encoded": {str(token_ids)}, "decoded": {TEXT}}


@pytest.mark.parametrize("eos_token_id", [-1, 2**40, 10_000])
def test_ids_that_the_model_cannot_say_end_nothing(tmp_path: Path, eos_token_id: int) -> None:
    folder = write_folder(tmp_path, byte_level())
    tokenizer = load_tokenizer(folder, eos_token_ids=[eos_token_id, 5], model_vocab_size=10_000)
    assert tokenizer.eos_token_ids == {5, *tokenizer.encode("<|end|>")}


def test_an_end_token_that_the_vocabulary_lacks_is_none(tmp_path: Path) -> None:
    folder = write_folder(tmp_path, byte_level())
    size = load_tokenizer(folder).vocab_size
    config = json.loads((folder / "tokenizer_config.json").read_text())
    (folder / "tokenizer_config.json").write_text(json.dumps(config | {"eos_token": "<|nobody|>"}))
    assert load_tokenizer(folder, eos_token_ids=[5], model_vocab_size=size).eos_token_ids == {5}
