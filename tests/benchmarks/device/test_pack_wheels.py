from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.device.join_wheels import DamagedError, join
from benchmarks.device.pack_wheels import INSTALLER, PIECE_BYTES, main, pack, server_requirements

SIZES = {"exact-1-py3-none-any.whl": 3000, "small-1-py3-none-any.whl": 10, "large-1-py3-none-any.whl": 7001}


@pytest.fixture
def wheels(tmp_path: Path) -> Path:
    folder, draw = tmp_path / "wheels", random.Random(0)
    folder.mkdir()
    for name, size in SIZES.items():
        (folder / name).write_bytes(draw.randbytes(size))
    return folder


def test_pieces_are_small_and_make_the_wheels_again(wheels: Path, tmp_path: Path) -> None:
    pieces = tmp_path / "pieces"
    manifest = pack(wheels, pieces, piece_bytes=1000)
    counts = {file["name"]: len(file["pieces"]) for file in manifest["files"]}
    assert counts == {name: -(-size // 1000) for name, size in SIZES.items()}
    assert all(path.stat().st_size <= 1000 for path in pieces.glob("*.whl.*"))
    for wheel in join(pieces, tmp_path / "joined"):
        assert wheel.read_bytes() == (wheels / wheel.name).read_bytes()
    assert {path.name for path in (tmp_path / "joined").iterdir()} == set(SIZES)


def test_the_limit_leaves_room_for_what_travels_along() -> None:
    assert PIECE_BYTES <= 60 * 10**6


def test_every_missing_or_damaged_piece_is_named(wheels: Path, tmp_path: Path) -> None:
    pieces = tmp_path / "pieces"
    pack(wheels, pieces, piece_bytes=1000)
    (pieces / "large-1-py3-none-any.whl.003").unlink()
    damaged = pieces / "exact-1-py3-none-any.whl.001"
    damaged.write_bytes(damaged.read_bytes()[:-1] + b"?")
    with pytest.raises(DamagedError, match=r"exact-1-py3-none-any.whl.001, large-1-py3-none-any.whl.003"):
        join(pieces, tmp_path / "joined")


def test_the_servers_own_needs_are_all_but_mlx(tmp_path: Path) -> None:
    text = '# why\nmlx[cpu]==1; sys_platform == "linux"\nmlx==1\nmlx-lm==2  # exact\n\nnumpy\n'
    (tmp_path / "r.txt").write_text(text)
    assert server_requirements(tmp_path / "r.txt") == ["mlx-lm==2", "numpy"]
    names = [line.partition("~")[0].partition("=")[0] for line in server_requirements()]
    assert "mlx-lm" in names and "mlx" not in names


def test_the_installer_travels_and_stands_alone(wheels: Path, tmp_path: Path) -> None:
    """With no path to this repository."""
    assert main([str(tmp_path / "pieces"), "--wheels", str(wheels)]) == 0
    command = [sys.executable, "-I", INSTALLER, "--join-only", str(tmp_path / "joined")]
    subprocess.run(command, cwd=tmp_path / "pieces", check=True)
    assert {path.name for path in (tmp_path / "joined").iterdir()} == set(SIZES)
    (tmp_path / "pieces" / "small-1-py3-none-any.whl.000").unlink()
    ended = subprocess.run(command, cwd=tmp_path / "pieces", capture_output=True, text=True)
    assert ended.returncode == 1
    assert "small-1-py3-none-any.whl.000" in ended.stderr
