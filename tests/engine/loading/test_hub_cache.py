from __future__ import annotations

import os
from pathlib import Path

import pytest

from api.engine.loading.hub_cache import cached_names, resolve_snapshot
from api.engine.loading.locate import locate_model
from api.errors import StartupError
from tests.engine.loading import tiny


@pytest.fixture
def cached(tmp_path: Path) -> Path:
    """A repository of which two commits were fetched; ``main`` is the older one."""
    folder = tmp_path / "hub" / "models--org--tiny-llama"
    for age, commit in enumerate(("new", "old")):
        (folder / "snapshots").mkdir(parents=True, exist_ok=True)
        snapshot = tiny.save_folder(folder / "snapshots" / commit, tiny.tiny_model())
        os.utime(snapshot, (1000 - age, 1000 - age))
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text("old\n")
    return folder


def test_the_folder_of_a_cached_repository_is_served_by_its_name(cached: Path, lines: list[str]) -> None:
    files = locate_model(str(cached), lines.append)
    assert files.folder == cached / "snapshots" / "old"
    assert files.names == (str(cached), "org/tiny-llama", "tiny-llama")


def test_a_snapshots_folder_too(cached: Path, lines: list[str]) -> None:
    snapshot = cached / "snapshots" / "new"
    files = locate_model(str(snapshot), lines.append)
    assert (files.folder, files.label) == (snapshot, "tiny-llama")


@pytest.mark.parametrize("main", [None, "", "gone", "../../../etc"])
def test_without_a_main_the_newest_is_taken(cached: Path, main: str | None) -> None:
    ref = cached / "refs" / "main"
    ref.unlink() if main is None else ref.write_text(main)
    assert resolve_snapshot(cached).name == "new"


def test_a_cache_folder_without_files_says_so(tmp_path: Path) -> None:
    (tmp_path / "snapshots").mkdir()
    with pytest.raises(StartupError, match="without a snapshot"):
        resolve_snapshot(tmp_path)


def test_other_folders_stay_as_they_are(tmp_path: Path) -> None:
    assert resolve_snapshot(tmp_path) == tmp_path
    assert cached_names(tmp_path) == ()
