"""Finds the model's files from what the operator typed. Needs no mlx."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from api.engine.loading.default_model import DEFAULT_MODEL_NAME, ensure_default_model
from api.engine.loading.gguf.folder import prepare_gguf_folder
from api.engine.loading.hub import download_repo, is_repo_id
from api.engine.loading.hub_cache import cached_names, resolve_snapshot
from api.errors import StartupError
from api.types import Report


@dataclass(frozen=True, slots=True)
class ModelFiles:
    """Where a model lies. ``folder`` has config.json and the tokenizer; weights are there or in ``gguf``."""

    folder: Path
    names: tuple[str, ...]  # the names it is served under, the one that was typed first
    gguf: Path | None = None

    @property
    def label(self) -> str:
        """The short name for a person: the last part of what was typed."""
        return self.names[-1]


def locate_model(model: str | None, report: Report) -> ModelFiles:
    """Finds, and fetches where needed, the files of a folder, repo id, .gguf file or the default (None).

    ``report`` gets one line for each thing that takes time. Raises StartupError.
    """
    if model is None:
        return _gguf_files(ensure_default_model(report), (DEFAULT_MODEL_NAME,), report)
    path = Path(os.path.expanduser(model))
    # Path("") is the current folder. os.path, unlike Path.is_dir, takes names that no file can have.
    if model and os.path.isdir(path):
        folder = resolve_snapshot(path)
        names = cached_names(folder) or (path.resolve().name,)
        return ModelFiles(_checked_folder(folder), _names(model, *names))
    if os.path.isfile(path):
        return _gguf_files(_checked_gguf(path), _names(model, path.name, path.stem), report)
    if _looks_like_path(model) or not is_repo_id(model):
        raise StartupError(
            f"no such model: {model!r} (a folder in MLX format, a .gguf file or a Hugging Face repo id)"
        )
    return _hub_files(model, report)


def _looks_like_path(model: str) -> bool:
    return model.startswith(("/", ".", "~")) or model.endswith((".gguf", "/")) or "\\" in model


def _checked_folder(path: Path) -> Path:
    if not (path / "config.json").is_file():
        ggufs = sorted(path.glob("*.gguf"))
        hint = f"; to serve its GGUF file name it: {ggufs[0]}" if ggufs else ""
        raise StartupError(f"{path} is no model folder: it has no config.json{hint}")
    return path


def _checked_gguf(path: Path) -> Path:
    if path.suffix.lower() != ".gguf":
        raise StartupError(f"{path} is a file, but no .gguf file; a model in MLX format is a folder")
    return path


def _gguf_files(path: Path, names: tuple[str, ...], report: Report) -> ModelFiles:
    return ModelFiles(prepare_gguf_folder(path, report), names, path)


def _hub_files(repo_id: str, report: Report) -> ModelFiles:
    report(f"Looking for {repo_id} on Hugging Face")
    folder = download_repo(repo_id)
    if not (folder / "config.json").is_file():
        raise StartupError(
            f"{repo_id} has no config.json, so it is not in MLX or Hugging Face format; "
            "of a GGUF repository download one file and name it"
        )
    return ModelFiles(folder, _names(repo_id, repo_id.rsplit("/", 1)[-1]))


def _names(*names: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for name in names if name))
