"""For a CUDA machine without network: downloads MLX's wheels where there is one, in pieces that travel.

``python -m benchmarks.device.pack_wheels FOLDER`` fills FOLDER with pieces of at most 60 MB, their checksums
and ``install.py``. Carry the folder over, as a whole or piece by piece, and run there with the Python that
is to have MLX: ``python install.py``. It needs nothing but that Python and its pip.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
PIECE_BYTES = 60_000_000
MANIFEST = "wheels.json"
INSTALLER = "install.py"
_MLX_VERSION = "0.32.4"
PACKAGE = f"mlx-cuda-13=={_MLX_VERSION}"
FRONT_PACKAGE = f"mlx=={_MLX_VERSION}"  # the Python half, which names no backend
# pip takes a platform at its word: newer ones, which include all older, are to be listed.
_LINUX_VERSIONS = (39, 35, 34, 31, 28, 27, 24, 17, 12, 5)
_READ_BYTES = 1024 * 1024


def download(requirements: Sequence[str], folder: Path, python_version: str, machine: str) -> None:
    """The wheels for that Python on that Linux, all that they need included."""
    platforms = [f"manylinux_2_{version}_{machine}" for version in _LINUX_VERSIONS]
    platforms += [f"manylinux2014_{machine}", f"manylinux2010_{machine}", f"manylinux1_{machine}"]
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "download", "--dest", str(folder)]
    command += ["--only-binary=:all:", "--implementation=cp", f"--python-version={python_version}"]
    command += [f"--platform={platform}" for platform in platforms]
    subprocess.run([*command, *requirements], check=True)


def server_requirements(path: Path = ROOT / "requirements.txt") -> list[str]:
    """All that the server needs, but for MLX itself, which is named for its backend."""
    lines = [line.partition("#")[0].strip() for line in path.read_text().splitlines()]
    return [line for line in lines if line and not line.startswith(("mlx[", "mlx=", "-"))]


def pack(wheels: Path, target: Path, piece_bytes: int = PIECE_BYTES) -> dict[str, Any]:
    """Cuts each wheel of a folder into pieces; returns what the manifest says."""
    target.mkdir(parents=True, exist_ok=True)
    files = [_pack_file(wheel, target, piece_bytes) for wheel in sorted(wheels.glob("*.whl"))]
    manifest = {"piece_bytes": piece_bytes, "files": files}
    (target / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n")
    shutil.copy(Path(__file__).with_name("join_wheels.py"), target / INSTALLER)
    return manifest


def _pack_file(wheel: Path, target: Path, piece_bytes: int) -> dict[str, Any]:
    whole, pieces = hashlib.sha256(), []
    with wheel.open("rb") as source:
        for number in range(-(-wheel.stat().st_size // piece_bytes)):
            name, digest = f"{wheel.name}.{number:03d}", hashlib.sha256()
            with (target / name).open("wb") as piece:
                for block in _blocks(source, piece_bytes):
                    whole.update(block)
                    digest.update(block)
                    piece.write(block)
            pieces.append({"name": name, "sha256": digest.hexdigest()})
    return {"name": wheel.name, "sha256": whole.hexdigest(), "pieces": pieces}


def _blocks(source: Any, num_bytes: int) -> Iterator[bytes]:
    """The next ``num_bytes`` of a file, a little at a time; fewer at its end."""
    while num_bytes and (block := source.read(min(num_bytes, _READ_BYTES))):
        num_bytes -= len(block)
        yield block


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("folder", type=Path, help="where the pieces go")
    parser.add_argument("--python", default="3.12", metavar="VERSION", help="of the other machine (3.12)")
    parser.add_argument("--machine", choices=("x86_64", "aarch64"), default="x86_64")
    parser.add_argument("--wheels", type=Path, help="a folder with the wheels, in place of a download")
    parser.add_argument("--with-server", action="store_true", help="and all else that the server needs")
    options = parser.parse_args(argv)
    with tempfile.TemporaryDirectory(prefix="wheels-") as folder:
        wheels = options.wheels or Path(folder)
        if options.wheels is None:
            wanted = [FRONT_PACKAGE, PACKAGE, *(server_requirements() if options.with_server else [])]
            download(wanted, wheels, options.python, options.machine)
        manifest = pack(wheels, options.folder)
    for file in manifest["files"]:
        print(f"{file['name']}: {len(file['pieces'])} pieces")
    print(f"Carry {options.folder} over and run there: python {INSTALLER}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
