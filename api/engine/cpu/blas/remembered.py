"""Remembers which kernels won, for this processor, library and number of threads."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from api.engine.cpu.blas.candidates import Processor
from api.engine.cpu.cores import visible_cores
from api.engine.files.fingerprints import digest
from api.engine.files.measured_file import read_measured, write_measured

_VERSION = 1  # raised when what is measured, or how it is written, changes
_NAME_DIGITS = 16
THREAD_VARIABLES = ("OPENBLAS_NUM_THREADS", "GOTO_NUM_THREADS", "OMP_NUM_THREADS")


@dataclass(frozen=True, slots=True)
class KernelChoice:
    """What the library is to be loaded with, and what was measured."""

    kernels: str | None  # for OPENBLAS_CORETYPE; None: the library's own choice
    gflops: float
    own_core: str | None  # what the library takes by itself; None: that does not work
    own_gflops: float | None


def remembered_file(folder: Path, library: Path, processor: Processor, num_threads: int) -> Path | None:
    """Another processor, library or number of threads: another file. None for what is no file."""
    try:
        status = library.stat()
    except OSError:
        return None
    threads = (num_threads, visible_cores(), *(os.environ.get(name) for name in THREAD_VARIABLES))
    key = (
        *(_VERSION, str(library.resolve()), status.st_size, status.st_mtime_ns, threads),
        *(processor.machine, processor.name, sorted(processor.flags)),
    )
    return folder / f"blas-kernels-{digest(key, _NAME_DIGITS)}.json"


def recall(file: Path, is_known: Callable[[str], bool]) -> KernelChoice | None:
    """None where nothing is remembered, or nothing that makes sense."""
    read = read_measured(file)
    if read is None:
        return None
    try:
        choice = KernelChoice(
            *(read["kernels"], float(read["gflops"]), read["own_core"]),
            None if read["own_gflops"] is None else float(read["own_gflops"]),
        )
    except (ValueError, TypeError, KeyError):
        return None
    names_are_text = all(each is None or isinstance(each, str) for each in (choice.kernels, choice.own_core))
    is_sane = names_are_text and (choice.kernels is None or is_known(choice.kernels))
    return choice if is_sane else None


def remember(file: Path, choice: KernelChoice, is_settled: bool) -> None:
    """As far as it can be written; measured again next time where it cannot."""
    write_measured(file, {**asdict(choice), "is_settled": is_settled})
