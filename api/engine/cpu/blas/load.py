"""A fast BLAS for the CPU build of MLX on Linux, put in place before MLX is imported.

The wheel ships the reference BLAS. Symbols that are global in the process when ``libmlx.so`` is
bound come first, so loading OpenBLAS beforehand replaces it: float32 products become an order of
magnitude faster. This module therefore must not import mlx.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import os
import sys
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path

from api.engine.cpu.blas.choice import (
    UnusableLibrary,
    choose_kernels,
    kernels_in_environment,
    users_kernels,
)
from api.engine.cpu.blas.remembered import THREAD_VARIABLES, KernelChoice
from api.engine.cpu.blas.report import INSTALL_HINT, BlasReport
from api.engine.cpu.cores import usable_cores, visible_cores
from api.engine.cpu.denormals import flushed_denormals

__all__ = ["INSTALL_HINT", "BlasReport", "measure_blas", "needs_blas", "preload_blas"]

_ROOT = Path("/")

# The pthread flavour first: the OpenMP one may be built against another runtime than the process has.
_LIBRARY_PATTERNS = (
    "usr/lib/*/openblas-pthread/libopenblas.so.0",
    "usr/lib/*/libopenblas.so.0",
    "usr/lib64/libopenblasp.so.0",
    "usr/lib64/libopenblas.so.0",
    "usr/lib/libopenblas.so.0",
    "usr/lib/libopenblas.so.3",
    "usr/local/lib/libopenblas.so.0",
    "opt/OpenBLAS/lib/libopenblas.so.0",
)


def preload_blas(num_workers: int = 1, root: Path = _ROOT) -> BlasReport:
    """Loads OpenBLAS for the whole process where MLX computes on a Linux CPU; never raises.

    ``num_workers`` processes share the machine: each takes its part of the cores.
    """
    if not needs_blas():
        return BlasReport(is_needed=False)
    if "mlx.core" in sys.modules:
        return BlasReport(is_needed=True, is_too_late=True)
    num_threads = _num_threads(num_workers, root)
    unusable = None
    for path in _candidates(root):
        choice = _choose(path, num_threads, root)
        if isinstance(choice, UnusableLibrary):
            unusable = f"{path}: {choice.reason}"
            continue
        library = _load_global(path, choice.kernels if choice is not None else None)
        if library is not None:
            _set_threads(library, num_threads)
            return _describe(path, library, choice)
    return BlasReport(is_needed=True, unusable=unusable)


def measure_blas(num_workers: int, root: Path = _ROOT) -> None:
    """Measures what ``preload_blas`` of each of several workers will look up, while none of them runs."""
    if needs_blas() and (path := next(_candidates(root), None)) is not None:
        _choose(path, _num_threads(num_workers, root), root)


def needs_blas() -> bool:
    """True on Linux unless a CUDA build of MLX is installed."""
    return sys.platform == "linux" and not any(
        _is_installed(name) for name in ("mlx-cuda", "mlx-cuda-12", "mlx-cuda-13")
    )


def _is_installed(distribution: str) -> bool:
    try:
        metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return False
    return True


def _candidates(root: Path) -> Iterator[str]:
    for pattern in _LIBRARY_PATTERNS:
        yield from (str(path) for path in sorted(root.glob(pattern)))
    found = ctypes.util.find_library("openblas")
    if found is not None:
        yield found


def _num_threads(num_workers: int, root: Path) -> int:
    """0 leaves it to the library, which counts the cores it sees and looks at its variables.

    Threads of several processes that spin on the same cores would only hold each other up.
    """
    cores = usable_cores(root)
    if num_workers > 1:
        return max(1, cores // num_workers)
    is_limited = cores < visible_cores() and not any(map(os.environ.get, THREAD_VARIABLES))
    return cores if is_limited else 0


def _choose(path: str, num_threads: int, root: Path) -> KernelChoice | UnusableLibrary | None:
    """None where there is nothing to choose."""
    if users_kernels() is not None or _is_loaded(path):
        return None
    return choose_kernels(path, num_threads, root)


def _is_loaded(path: str) -> bool:
    """By ``LD_PRELOAD``, say: then its kernels are chosen already."""
    try:
        ctypes.CDLL(path, mode=os.RTLD_NOLOAD | os.RTLD_NOW)
    except OSError:
        return False
    return True


def _load_global(path: str, kernels: str | None) -> ctypes.CDLL | None:
    """Its threads are started here, and live as long as the process."""
    try:
        with flushed_denormals(), kernels_in_environment(kernels):
            library = ctypes.CDLL(path, mode=ctypes.RTLD_GLOBAL)
    except OSError:
        return None
    # Builds with prefixed or suffixed symbols load well and replace nothing.
    return library if hasattr(library, "cblas_sgemm") else None


def _set_threads(library: ctypes.CDLL, num_threads: int) -> None:
    if num_threads and hasattr(library, "openblas_set_num_threads"):
        with flushed_denormals():
            library.openblas_set_num_threads(num_threads)


def _describe(path: str, library: ctypes.CDLL, choice: KernelChoice | None) -> BlasReport:
    words = (_text(library, "openblas_get_config") or "").split()
    num_threads = _call(library, "openblas_get_num_threads", ctypes.c_int)
    return BlasReport(
        is_needed=True,
        library=path,
        version=words[1] if len(words) > 1 else None,
        num_threads=num_threads if isinstance(num_threads, int) else None,
        kernels=_text(library, "openblas_get_corename"),
        users_kernels=users_kernels(),
        choice=choice,
    )


def _text(library: ctypes.CDLL, name: str) -> str | None:
    result = _call(library, name, ctypes.c_char_p)
    return result.decode(errors="replace") if isinstance(result, bytes) else None


def _call(library: ctypes.CDLL, name: str, result_type: Callable[..., object]) -> object:
    function = getattr(library, name, None)
    if function is None:
        return None
    function.restype = result_type
    result: object = function()
    return result
