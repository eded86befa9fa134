from __future__ import annotations

import json
import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from api.engine.disk import folder as folder_module
from api.engine.disk.folder import (
    default_limit_bytes,
    folder_fingerprint,
    open_folder,
    open_model_folder,
    open_secret,
)
from api.errors import StartupError
from tests.engine.disk.blocks import LAYOUTS

GB = 1000**3


def test_a_folder_is_made_and_may_be_there(tmp_path: Path) -> None:
    root = open_folder(str(tmp_path / "a" / "b"))
    assert open_folder(str(root)) == root
    model = open_model_folder(root, "f" * 32, "some/model", 32)
    assert json.loads((model / "about.json").read_text()) == {
        "format": 1,
        "model": "some/model",
        "block_tokens": 32,
    }
    assert model.stat().st_mode & 0o777 == 0o700
    assert open_model_folder(root, "f" * 32, "some/model", 32) == model


def test_one_that_cannot_be_made_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StartupError, match=r"cannot write --prefix-cache-dir .*file \(.*\)$"):
        open_folder(str(tmp_path / "file"))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_one_that_cannot_be_written_is_one_clear_line(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(StartupError, match=r"Permission denied"):
        open_folder(str(tmp_path))


@pytest.mark.parametrize(
    ("free", "used", "wanted"), [(500 * GB, 0, 10 * GB), (30 * GB, 0, 3 * GB), (27 * GB, 3 * GB, 3 * GB)]
)
def test_the_default_limit_does_not_shrink_with_what_the_cache_takes(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, free: int, used: int, wanted: int
) -> None:
    monkeypatch.setattr(
        folder_module, "shutil", SimpleNamespace(disk_usage=lambda _: SimpleNamespace(free=free))
    )
    assert default_limit_bytes(tmp_path, used) == wanted


def test_whatever_changes_the_blocks_changes_the_folder() -> None:
    ways = [
        ("f", "w", 32, LAYOUTS),
        ("g", "w", 32, LAYOUTS),
        ("f", "v", 32, LAYOUTS),
        ("f", "w", 64, LAYOUTS),
    ]
    names = {folder_fingerprint(*way) for way in (*ways, ("f", "w", 32, LAYOUTS[:1]))}
    assert len(names) == 5 and all(len(name) == 32 for name in names)


def test_all_processes_name_blocks_with_one_secret_that_others_cannot_read(tmp_path: Path) -> None:
    root = open_folder(str(tmp_path))
    secret = open_secret(root)
    assert len(secret) == 32 and open_secret(root) == secret
    assert (root / ".secret").stat().st_mode & 0o777 == 0o600
    (root / ".secret").write_bytes(b"cut")
    assert len(open_secret(root)) == 32 and open_secret(root) != secret


def test_a_secret_that_cannot_be_read_is_one_clear_line(tmp_path: Path) -> None:
    root = open_folder(str(tmp_path))
    (root / ".secret").mkdir()
    with pytest.raises(StartupError, match=r"cannot use .*\.secret"):
        open_secret(root)
