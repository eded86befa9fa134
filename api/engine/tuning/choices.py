"""What can be chosen for a device, as a value; the platform's guesses, and what was measured earlier.

Measured choices lie in the cache folder, in a file for each device, model and set of versions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

from api.engine.device.platform import Platform
from api.engine.files.fingerprints import digest
from api.engine.files.measured_file import read_measured, write_measured

_NAME_DIGITS = 16

NoisePlace = Literal["host", "device"]


@dataclass(frozen=True, slots=True)
class Tuning:
    """How steps are run on this device with this model."""

    max_step_tokens: int  # rows of one forward beyond which nothing is gained per row
    first_chunk_tokens: int  # prompt rows beside running streams before any step was timed
    row_multiple: int  # forwards are filled up to a multiple of this many rows
    compiles_steps: bool  # decode steps are replayed from traces
    noise: NoisePlace  # where random numbers are made
    early_limit_bytes: float = 0.0  # of state, up to which a step is dispatched before the last is read
    step_seconds: Mapping[int, float] = field(default_factory=dict)  # rows of a step -> what it takes
    is_settled: bool = True  # False: measured while the machine was busy with something else
    gains: Mapping[str, float] = field(default_factory=dict)  # choice -> seconds of the guess over its own

    def describe(self) -> str:
        """One line for a person."""
        found = [
            f"{self.max_step_tokens} rows a step",
            f"rows filled up to {self.row_multiple}" if self.row_multiple > 1 else "rows not filled up",
            f"random numbers on the {self.noise}",
            "decode steps compiled" if self.compiles_steps else "decode steps not compiled",
            self._dispatch(),
        ]
        return ", ".join(found) + "".join(f"; {name} {gain:.2f}x" for name, gain in self.gains.items())

    def _dispatch(self) -> str:
        if not self.early_limit_bytes:
            return "dispatch after the read"
        limit = f" up to {self.early_limit_bytes / 1e6:,.0f} MB" if self.early_limit_bytes < 1e15 else ""
        return f"dispatch before the read{limit}"


def first_guesses(platform: Platform) -> Tuning:
    """What is known of the platform without measuring."""
    return Tuning(
        max_step_tokens=platform.max_step_tokens,
        first_chunk_tokens=platform.first_chunk_tokens,
        row_multiple=platform.row_multiple,
        compiles_steps=platform.compiles_steps,
        noise="host" if platform.is_cpu else "device",
    )


def to_json(tuning: Tuning) -> dict[str, Any]:
    """For a file or /stats."""
    return asdict(tuning) | {"step_seconds": {str(n): s for n, s in tuning.step_seconds.items()}}


def from_json(found: dict[str, Any]) -> Tuning:
    """Raises ValueError, TypeError or KeyError for what ``to_json`` did not write."""
    values = {each.name: found[each.name] for each in fields(Tuning)}
    values["step_seconds"] = {int(n): float(s) for n, s in found["step_seconds"].items()}
    values["gains"] = {str(name): float(gain) for name, gain in found["gains"].items()}
    tuning = Tuning(**values)
    if tuning.max_step_tokens < 1 or tuning.row_multiple < 1 or tuning.noise not in ("host", "device"):
        raise ValueError(f"no tuning: {found}")
    return tuning


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
