"""The folder that blocks of all models share, and the one in it where those of this model lie."""

from __future__ import annotations

import json
import os
import secrets
import shutil
from pathlib import Path

from api.engine.device.host_arrays import Layout
from api.engine.disk.format import FORMAT_VERSION
from api.engine.files.fingerprints import digest
from api.engine.files.folder_lock import LOCK_NAME, exclusive
from api.errors import StartupError

_SECRET_NAME, _SECRET_BYTES = ".secret", 32
_HEADER_NAME = "about.json"
_FOLDER_DIGITS = 32
_DEFAULT_LIMIT_BYTES = 10 * 1000**3
_DEFAULT_SHARE = 10  # of what is free: the tenth part


def open_folder(path: str) -> Path:
    """Makes the folder where it does not exist. Raises StartupError where it cannot be written."""
    folder = Path(path).expanduser()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / LOCK_NAME).touch(mode=0o600)
        with exclusive(folder):
            probe = folder / f".probe-{os.getpid()}"
            probe.touch()
            probe.unlink()
    except OSError as error:
        raise StartupError(f"cannot write --prefix-cache-dir {path} ({error.strerror or error})") from error
    return folder


def open_secret(root: Path) -> bytes:
    """What the names of all blocks under ``root`` are made with; for nobody else to read.

    Raises StartupError where it cannot be read or written.
    """
    path = root / _SECRET_NAME
    try:
        with exclusive(root):
            secret = path.read_bytes() if path.exists() else b""
            if len(secret) != _SECRET_BYTES:
                path.unlink(missing_ok=True)
                secret = secrets.token_bytes(_SECRET_BYTES)
                with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                    file.write(secret)
    except OSError as error:
        raise StartupError(f"cannot use {path} ({error.strerror or error})") from error
    return secret


def default_limit_bytes(folder: Path, used_bytes: int) -> int:
    """10 GB, or a tenth of what is free or taken by the cache itself, whichever is less."""
    return min(_DEFAULT_LIMIT_BYTES, (shutil.disk_usage(folder).free + used_bytes) // _DEFAULT_SHARE)


def folder_fingerprint(fingerprint: str, weights: str, block_tokens: int, layouts: tuple[Layout, ...]) -> str:
    """The same value for processes whose blocks are interchangeable."""
    return digest((FORMAT_VERSION, fingerprint, weights, block_tokens, layouts), _FOLDER_DIGITS)


def open_model_folder(root: Path, fingerprint: str, model_name: str, block_tokens: int) -> Path:
    """Where a model's blocks lie; what they hold is for nobody else to read. Raises StartupError."""
    folder = root / fingerprint
    about = {"format": FORMAT_VERSION, "model": model_name, "block_tokens": block_tokens}
    try:
        with exclusive(root):
            folder.mkdir(mode=0o700, exist_ok=True)
            (folder / _HEADER_NAME).write_text(json.dumps(about) + "\n", encoding="utf-8")
    except OSError as error:
        raise StartupError(f"cannot write {folder} ({error.strerror or error})") from error
    return folder
