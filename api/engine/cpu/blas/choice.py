"""Chooses the kernels for a library: as the user says, as remembered, or by measurement."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from api.engine.cpu.blas.candidates import candidate_kernels, read_processor
from api.engine.cpu.blas.measurement import (
    KERNELS_VARIABLE,
    Broken,
    Measured,
    Timing,
    measure_kernels,
    process_probe,
)
from api.engine.cpu.blas.remembered import KernelChoice, recall, remember, remembered_file
from api.engine.files.cache_folder import cache_folder
from api.errors import StartupError


@dataclass(frozen=True, slots=True)
class UnusableLibrary:
    """Nothing in it computes rightly on this processor."""

    reason: str


def users_kernels() -> str | None:
    """What the user asks for; it stands, whatever would be faster."""
    return os.environ.get(KERNELS_VARIABLE) or None


def choose_kernels(library: str, num_threads: int, root: Path) -> KernelChoice | UnusableLibrary | None:
    """``num_threads``: 0 leaves it to the library. None where nothing could be measured; never raises."""
    processor = read_processor(root)
    candidates = candidate_kernels(processor)
    folder = _folder()
    file = remembered_file(folder, Path(library), processor, num_threads) if folder is not None else None
    choice = recall(file, candidates.__contains__) if file is not None else None
    if choice is not None:
        return choice
    measured = measure_kernels(candidates, process_probe(library, num_threads))
    found = _choice(measured)
    if file is not None and isinstance(found, KernelChoice):
        remember(file, found, measured.is_settled)
    return found


def _choice(measured: Measured) -> KernelChoice | UnusableLibrary | None:
    own = measured.own if isinstance(measured.own, Timing) else None
    if measured.fastest is not None:
        return KernelChoice(
            kernels=measured.kernels,
            gflops=measured.fastest.best,
            own_core=own.core if own is not None else None,
            own_gflops=own.best if own is not None else None,
        )
    return UnusableLibrary(measured.own.reason) if isinstance(measured.own, Broken) else None


@contextmanager
def kernels_in_environment(kernels: str | None) -> Iterator[None]:
    """While the library is loaded; processes started later choose for themselves."""
    before = os.environ.pop(KERNELS_VARIABLE, None)  # an empty one, too, would keep the library from choosing
    if wanted := before or kernels:
        os.environ[KERNELS_VARIABLE] = wanted
    try:
        yield
    finally:
        os.environ.pop(KERNELS_VARIABLE, None)
        if before is not None:
            os.environ[KERNELS_VARIABLE] = before


def _folder() -> Path | None:
    try:
        return cache_folder()
    except (StartupError, RuntimeError):  # it cannot be written; there is no home
        return None
