"""What was measured once, in a file of the cache folder; one that is damaged is as if it were not there.

Must not import mlx: kernels are chosen before.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

# What a busy machine gave is measured again, but not at each start of many.
_UNSETTLED_SECONDS = 3600.0


def read_measured(file: Path) -> dict[str, Any] | None:
    """None where there is none that can be read, or a busy machine gave it some time ago."""
    try:
        found: dict[str, Any] = json.loads(file.read_bytes())
        holds = found["is_settled"] is True or time.time() - file.stat().st_mtime < _UNSETTLED_SECONDS
    except (OSError, ValueError, TypeError, KeyError):
        return None
    return found if holds else None


def write_measured(file: Path, values: Mapping[str, Any]) -> None:
    """``values`` say whether they are settled. Others see the old file or the new one, whole.

    As far as it can be written; measured again next time where it cannot.
    """
    part = file.with_suffix(f".{os.getpid()}.part")
    with suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        part.write_text(json.dumps(values))
        part.replace(file)
