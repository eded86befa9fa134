"""Puts pieces of wheels together again and installs them. Needs nothing but Python and its pip.

It travels with the pieces as ``install.py``: ``python install.py [--join-only] [--target FOLDER]``.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

MANIFEST = "wheels.json"


class DamagedError(Exception):
    """A piece is missing or is not what was packed; the message names it."""


def join(pieces: Path, target: Path) -> list[Path]:
    """Writes the wheels to ``target``; raises DamagedError naming every piece that is missing or damaged."""
    manifest = json.loads((pieces / MANIFEST).read_text())
    wanted = [piece for file in manifest["files"] for piece in file["pieces"]]
    damaged = [piece["name"] for piece in wanted if checksum(pieces / piece["name"]) != piece["sha256"]]
    if damaged:
        raise DamagedError("missing or damaged: " + ", ".join(damaged))
    target.mkdir(parents=True, exist_ok=True)
    wheels = []
    for file in manifest["files"]:
        wheel = target / file["name"]
        with wheel.open("wb") as joined:
            for piece in file["pieces"]:
                with (pieces / piece["name"]).open("rb") as part:
                    shutil.copyfileobj(part, joined)
        if checksum(wheel) != file["sha256"]:
            raise DamagedError(f"{wheel.name} is not what was packed")
        wheels.append(wheel)
    return wheels


def checksum(path: Path) -> str:
    """Of a file in hexadecimal; "" of none."""
    if not path.is_file():
        return ""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def install(wheels: list[Path], target: str | None) -> None:
    """No index is asked, and no other backend of MLX may stay: both would bring the same library."""
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    if target is None:
        subprocess.run([*pip, "uninstall", "--yes", "mlx-cpu", "mlx-cuda-12"], check=True)
    place = ["--target", target] if target else []
    subprocess.run([*pip, "install", "--no-index", "--no-deps", *place, *map(str, wheels)], check=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--join-only", metavar="FOLDER", type=Path, help="write the wheels there only")
    parser.add_argument("--target", help="pip's --target, for a Python whose packages cannot be written")
    options = parser.parse_args()
    pieces = Path(__file__).resolve().parent
    try:
        if options.join_only:
            join(pieces, options.join_only)
        else:
            with tempfile.TemporaryDirectory(prefix="wheels-") as folder:
                install(join(pieces, Path(folder)), options.target)
    except DamagedError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
