from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from api.engine.loading.gguf.folder import prepare_gguf_folder
from api.errors import StartupError
from tests.engine.loading import tiny


def test_folder_is_written_once(tmp_path: Path, lines: list[str]) -> None:
    path = tiny.save_gguf(tmp_path / "m.gguf", tiny.tiny_model())
    folder = prepare_gguf_folder(path, lines.append)
    assert json.loads((folder / "config.json").read_text())["hidden_size"] == 64
    assert (folder / "tokenizer.json").is_file() and (folder / "tokenizer_config.json").is_file()
    assert prepare_gguf_folder(path, lines.append) == folder
    assert len(lines) == 1


def test_changed_file_gets_another_folder(tmp_path: Path, lines: list[str]) -> None:
    path = tiny.save_gguf(tmp_path / "m.gguf", tiny.tiny_model())
    first = prepare_gguf_folder(path, lines.append)
    os.utime(path, ns=(1, 1))
    assert prepare_gguf_folder(path, lines.append) != first


def test_file_truncated_after_conversion_is_still_found_out(tmp_path: Path, lines: list[str]) -> None:
    path = tiny.save_gguf(tmp_path / "m.gguf", tiny.tiny_model())
    prepare_gguf_folder(path, lines.append)
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(StartupError, match="missing at its end"):
        prepare_gguf_folder(path, lines.append)


def test_failed_conversion_leaves_nothing(tmp_path: Path, lines: list[str]) -> None:
    metadata = tiny.gguf_metadata(tiny.CONFIG) | {"tokenizer.ggml.model": "bert"}
    path = tiny.write_gguf(tmp_path / "m.gguf", metadata, {"token_embd.weight": tiny.f32([[0.0] * 64] * 288)})
    with pytest.raises(StartupError, match="bert"):
        prepare_gguf_folder(path, lines.append)
    assert list((tmp_path / "cache").rglob("*.json")) == []
