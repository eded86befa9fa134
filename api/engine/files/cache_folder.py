"""Where downloaded and converted files are kept between starts."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from api.errors import StartupError

PROJECT = "mlx-chat-server"


def cache_folder() -> Path:
    """Returns this project's cache folder; raises StartupError where it cannot be written."""
    folder = _user_cache() / PROJECT
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StartupError(
            f"cannot write the cache folder {folder} ({error.strerror}); "
            "set XDG_CACHE_HOME to a folder that can be written"
        ) from error
    return folder


def _user_cache() -> Path:
    if configured := os.environ.get("XDG_CACHE_HOME"):
        return Path(configured).expanduser()
    return Path.home() / ("Library/Caches" if sys.platform == "darwin" else ".cache")
