from __future__ import annotations

from pathlib import Path

import pytest

from api.engine.loading import locate
from api.engine.loading.locate import ModelFiles, locate_model
from api.errors import StartupError
from tests.engine.loading import tiny


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(repo_id: str) -> Path:
        raise AssertionError(f"asked the hub for {repo_id}")

    monkeypatch.setattr(locate, "download_repo", refuse)


def test_folder(tmp_path: Path, lines: list[str]) -> None:
    folder = tiny.save_folder(tmp_path / "my-model", tiny.tiny_model())
    files = locate_model(f"{folder}/", lines.append)
    assert files == ModelFiles(folder, (f"{folder}/", "my-model"))
    assert files.label == "my-model"


def test_current_folder_has_its_real_name(
    tmp_path: Path, lines: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tiny.save_folder(tmp_path / "here", tiny.tiny_model()))
    assert locate_model(".", lines.append).names == (".", "here")


def test_gguf_file(tmp_path: Path, lines: list[str]) -> None:
    path = tiny.save_gguf(tmp_path / "small.Q4.gguf", tiny.tiny_model())
    files = locate_model(str(path), lines.append)
    assert files.gguf == path
    assert files.names == (str(path), "small.Q4.gguf", "small.Q4")
    assert (files.folder / "config.json").is_file() and files.folder != tmp_path


def test_none_is_the_default_model(tmp_path: Path, lines: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    path = tiny.save_gguf(tmp_path / "default.gguf", tiny.tiny_model())
    monkeypatch.setattr(locate, "ensure_default_model", lambda report: path)
    files = locate_model(None, lines.append)
    assert files.names == ("SmolLM2-135M-Instruct",) and files.gguf == path


def test_repo_id_goes_to_the_hub(tmp_path: Path, lines: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tiny.save_folder(tmp_path / "snapshot", tiny.tiny_model())
    monkeypatch.setattr(locate, "download_repo", lambda repo_id: folder)
    files = locate_model("mlx-community/Qwen3-4B-4bit", lines.append)
    assert files == ModelFiles(folder, ("mlx-community/Qwen3-4B-4bit", "Qwen3-4B-4bit"))
    assert lines == ["Looking for mlx-community/Qwen3-4B-4bit on Hugging Face"]


def test_repo_without_config_is_refused(
    tmp_path: Path, lines: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locate, "download_repo", lambda repo_id: tmp_path)
    with pytest.raises(StartupError, match=r"org/name has no config\.json"):
        locate_model("org/name", lines.append)


@pytest.mark.parametrize(
    "model",
    [
        "/no/such",
        "./no",
        "../no",
        "~/no-such-model",
        "no.gguf",
        "org/no.gguf",
        "word",
        "a/b/c",
        "a b/c",
        "",
        "x" * 5000,
    ],
)
def test_wrong_path_never_asks_the_hub(lines: list[str], model: str) -> None:
    with pytest.raises(StartupError, match="no such model"):
        locate_model(model, lines.append)


def test_folder_without_config_points_at_its_gguf(tmp_path: Path, lines: list[str]) -> None:
    (tmp_path / "a.gguf").write_bytes(b"")
    with pytest.raises(StartupError, match=r"no config\.json; to serve its GGUF file name it: .*a\.gguf"):
        locate_model(str(tmp_path), lines.append)


def test_other_file_is_refused(tmp_path: Path, lines: list[str]) -> None:
    (tmp_path / "model.bin").write_bytes(b"")
    with pytest.raises(StartupError, match=r"no \.gguf file"):
        locate_model(str(tmp_path / "model.bin"), lines.append)
