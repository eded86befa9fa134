from __future__ import annotations

import json
from pathlib import Path

import pytest

from api.engine.loading.safetensors_check import check_safetensors
from api.errors import StartupError
from tests.engine.loading import tiny


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tiny.save_folder(tmp_path / "model", tiny.tiny_model())


def test_whole_files_are_listed(folder: Path) -> None:
    assert check_safetensors(folder) == [folder / "model.safetensors"]


def test_truncated(folder: Path) -> None:
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-7])
    with pytest.raises(StartupError, match=r"model\.safetensors is truncated: 7 bytes are missing"):
        check_safetensors(folder)


@pytest.mark.parametrize(
    "content", [b"", b"\x05", b"\xff" * 64, b"\x04\0\0\0\0\0\0\0[1] ", b"\x02\0\0\0\0\0\0\0no"]
)
def test_nonsense(folder: Path, content: bytes) -> None:
    (folder / "model.safetensors").write_bytes(content)
    with pytest.raises(StartupError, match="damaged"):
        check_safetensors(folder)


def test_no_weights(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    with pytest.raises(StartupError, match="no weights"):
        check_safetensors(folder)


def test_missing_part_of_an_index(folder: Path) -> None:
    index = {"weight_map": {"a": "model.safetensors", "b": "model-00002-of-00002.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(StartupError, match=r"model-00002-of-00002\.safetensors is missing"):
        check_safetensors(folder)


@pytest.mark.parametrize("content", ["{", "[]", "{}"])
def test_damaged_index(folder: Path, content: str) -> None:
    (folder / "model.safetensors.index.json").write_text(content)
    with pytest.raises(StartupError, match=r"index\.json is damaged"):
        check_safetensors(folder)
