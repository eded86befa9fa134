"""Turns a GGUF file's metadata into a folder as mlx-lm and transformers read it, once per file.

The folder holds config.json and the tokenizer; the weights stay where they are.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
import time
from pathlib import Path

from api.engine.files.cache_folder import cache_folder
from api.engine.loading.gguf.config import config_from_header
from api.engine.loading.gguf.header import GgufHeader, read_header
from api.engine.loading.gguf.tokenizer import write_tokenizer
from api.types import Report

_CONVERTER_VERSION = 1  # raise it when the written files change


def prepare_gguf_folder(path: Path, report: Report) -> Path:
    """Returns the cached folder for a GGUF file, written on the first call.

    The file's header is checked on every call. Raises StartupError.
    """
    started = time.monotonic()
    header = read_header(path)
    target = cache_folder() / "gguf" / f"{path.stem}-{_identity(path)}"
    if not target.is_dir():
        _write(header, target)
        seconds = time.monotonic() - started
        report(f"Converted the tokenizer of {path.name} ({seconds:.1f} s), kept in {target}")
    return target


def _identity(path: Path) -> str:
    """A key that changes with the file: its place, size and time."""
    stat = path.stat()
    text = f"{path.resolve()}|{stat.st_size}|{stat.st_mtime_ns}|{_CONVERTER_VERSION}"
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _write(header: GgufHeader, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(dir=target.parent, prefix="new-"))
    try:
        config = json.dumps(config_from_header(header), indent=1)
        (scratch / "config.json").write_text(config, encoding="utf-8")
        write_tokenizer(header, scratch)
        _move_into_place(scratch, target)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _move_into_place(scratch: Path, target: Path) -> None:
    try:
        os.rename(scratch, target)
    except OSError:
        # Another process was first: a folder cannot replace one that has files.
        if not target.is_dir():
            raise
