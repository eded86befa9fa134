"""Measured choices are kept in the cache folder, a file for each device, model and set of versions."""

from __future__ import annotations

from pathlib import Path

from api.engine.files.fingerprints import digest
from api.engine.files.measured_file import read_measured, write_measured
from api.engine.tuning.choices import Tuning, from_json, to_json

_NAME_DIGITS = 16


class TuningMemory:
    """One file; what is wrong with it is as if it were not there."""

    def __init__(self, folder: Path, key: object) -> None:
        """``key``: all that a measurement depends on; its ``repr`` counts."""
        self._path = folder / "tuning" / f"{digest(key, _NAME_DIGITS)}.json"

    def load(self) -> Tuning | None:
        """None where nothing is remembered that can be read, or what a busy machine gave some time ago."""
        found = read_measured(self._path)
        try:
            return None if found is None else from_json(found)
        except (ValueError, TypeError, KeyError, AttributeError):
            return None

    def save(self, tuning: Tuning) -> None:
        """Not to be able to write is no error."""
        write_measured(self._path, to_json(tuning))
