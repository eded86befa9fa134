"""Says before loading whether a folder's safetensors files are there and whole.

MLX reads them lazily: a truncated file would show itself only in the first forward pass.
"""

from __future__ import annotations

import json
import struct
from pathlib import Path

from api.errors import StartupError

_MAX_HEADER_BYTES = 100_000_000


def check_safetensors(folder: Path) -> list[Path]:
    """Returns the weight files of a folder, each checked to be complete. Raises StartupError."""
    files = sorted(folder.glob("model*.safetensors"))
    missing = _indexed_files(folder) - {file.name for file in files}
    if missing:
        raise StartupError(f"{folder} is incomplete: {sorted(missing)[0]} is missing ({len(missing)} files)")
    if not files:
        raise StartupError(f"{folder} has no weights (model*.safetensors)")
    for file in files:
        _check_whole(file)
    return files


def _indexed_files(folder: Path) -> set[str]:
    index = folder / "model.safetensors.index.json"
    if not index.is_file():
        return set()
    try:
        return set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        raise StartupError(f"{index} is damaged: {error}") from error


def _check_whole(file: Path) -> None:
    try:
        expected = _expected_bytes(file)
    except (ValueError, KeyError, TypeError, AttributeError, struct.error) as error:
        raise StartupError(f"{file} is damaged: its header cannot be read") from error
    except OSError as error:
        raise StartupError(f"cannot read {file}: {error.strerror}") from error
    if (missing := expected - file.stat().st_size) > 0:
        raise StartupError(f"{file} is truncated: {missing} bytes are missing")


def _expected_bytes(file: Path) -> int:
    with file.open("rb") as source:
        (header_bytes,) = struct.unpack("<Q", source.read(8))
        if header_bytes > _MAX_HEADER_BYTES:
            raise ValueError("header too long")
        header = json.loads(source.read(header_bytes))
    ends = (entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__")
    return 8 + int(header_bytes) + max(ends, default=0)
