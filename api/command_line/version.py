"""Which version this is, and of what its answers depend on."""

from __future__ import annotations

import platform
from importlib import metadata

VERSION = "0.1.0"

_LIBRARIES = ("mlx", "mlx-lm")


def version_line() -> str:
    libraries = [f"{name} {_installed(name)}" for name in _LIBRARIES]
    return f"MLX chat server {VERSION} ({', '.join([*libraries, f'Python {platform.python_version()}'])})"


def _installed(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "not installed"
