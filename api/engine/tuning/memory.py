"""Measured choices are kept in the cache folder, a file for each device, model and set of versions."""

from __future__ import annotations

import hashlib
import json
import os
import time
from pathlib import Path

from api.engine.tuning.choices import Tuning, from_json, to_json

# What was measured on a busy machine is measured again, but not at each start of many.
_UNSETTLED_SECONDS = 3600.0


class TuningMemory:
    """One file; what is wrong with it is as if it were not there."""

    def __init__(self, folder: Path, key: object) -> None:
        """``key``: all that a measurement depends on; its ``repr`` counts."""
        self._path = folder / "tuning" / f"{hashlib.sha256(repr(key).encode()).hexdigest()[:16]}.json"

    def load(self) -> Tuning | None:
        """None where nothing is remembered that can be read, or what a busy machine gave some time ago."""
        try:
            tuning = from_json(json.loads(self._path.read_text()))
            age_seconds = time.time() - self._path.stat().st_mtime
        except (OSError, ValueError, TypeError, KeyError, AttributeError):
            return None
        return tuning if tuning.is_settled or age_seconds < _UNSETTLED_SECONDS else None

    def save(self, tuning: Tuning) -> None:
        """Another process sees the old file or the new one, whole. Not to be able to write is no error."""
        new = self._path.with_suffix(f".{os.getpid()}")
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            new.write_text(json.dumps(to_json(tuning)) + "\n")
            new.replace(self._path)
        except OSError:
            return
