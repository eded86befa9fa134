import os
from pathlib import Path

import pytest

from api.serving.supervisor import CodeWatch


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "api" / "deep").mkdir(parents=True)
    (tmp_path / "app.py").write_text("")
    (tmp_path / "api" / "deep" / "a.py").write_text("")
    return tmp_path


def test_changes_are_seen_once(root: Path) -> None:
    watch = CodeWatch(root)
    assert watch.changed() is None
    os.utime(root / "api" / "deep" / "a.py", (1, 1))
    assert watch.changed() == root / "api" / "deep" / "a.py"
    assert watch.changed() is None


def test_new_and_removed_files_are_changes(root: Path) -> None:
    watch = CodeWatch(root)
    (root / "api" / "b.py").write_text("")
    assert watch.changed() == root / "api" / "b.py"
    (root / "app.py").unlink()
    assert watch.changed() == root / "app.py"


def test_other_files_and_folders_do_not_count(root: Path) -> None:
    watch = CodeWatch(root)
    (root / "api" / "notes.txt").write_text("")
    (root / ".venv").mkdir()
    (root / ".venv" / "x.py").write_text("")
    assert watch.changed() is None
