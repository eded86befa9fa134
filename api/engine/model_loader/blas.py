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
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

INSTALL_HINT = "apt-get install libopenblas0-pthread"

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


_KERNELS_VARIABLE = "OPENBLAS_CORETYPE"  # read by the library when it is loaded; a user's own choice stands
_AVX512_KERNELS = "SkylakeX"
_AMD_WITH_AVX512 = {"AuthenticAMD", "avx512f", "avx512dq", "avx512bw", "avx512vl", "avx512cd"}


@dataclass(frozen=True, slots=True)
class BlasReport:
    """What was loaded, or what is missing; ``line`` says it to a person."""

    is_needed: bool  # False where MLX brings its own: macOS, CUDA
    library: str | None = None  # path or name of the OpenBLAS now in the process
    version: str | None = None
    num_threads: int | None = None
    is_too_late: bool = False  # mlx was imported first, so its own BLAS stays in use

    @property
    def is_fast(self) -> bool:
        """True unless matrix products run on the wheel's reference BLAS."""
        return not self.is_needed or (self.library is not None and not self.is_too_late)

    @property
    def line(self) -> str:
        if not self.is_needed:
            return "BLAS: the device's own"
        if self.is_too_late:
            return "BLAS: mlx was imported before OpenBLAS could be loaded, the slow reference BLAS is in use"
        if self.library is None:
            return f"BLAS: no OpenBLAS found, up to 10 times slower; get it with: {INSTALL_HINT}"
        return f"BLAS: OpenBLAS {self.version or '?'}, {self.num_threads or '?'} threads ({self.library})"


def preload_blas(num_workers: int = 1, root: Path = Path("/")) -> BlasReport:
    """Loads OpenBLAS for the whole process where MLX computes on a Linux CPU; never raises.

    ``num_workers`` processes share the machine: each takes its part of the cores.
    """
    if not needs_blas():
        return BlasReport(is_needed=False)
    if "mlx.core" in sys.modules:
        return BlasReport(is_needed=True, is_too_late=True)
    _choose_kernels(root)
    for candidate in _candidates(root):
        library = _load_global(candidate)
        if library is not None:
            _share_cores(library, num_workers)
            return _describe(candidate, library)
    return BlasReport(is_needed=True)


def _choose_kernels(root: Path) -> None:
    """OpenBLAS before 0.3.23 takes AMD processors with AVX-512 for older ones: half the speed they have."""
    cpu_info = root / "proc/cpuinfo"
    if _KERNELS_VARIABLE in os.environ or not cpu_info.is_file():
        return
    words = set(cpu_info.read_text(errors="replace").split())
    if words >= _AMD_WITH_AVX512:
        os.environ[_KERNELS_VARIABLE] = _AVX512_KERNELS


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


def _load_global(path: str) -> ctypes.CDLL | None:
    try:
        library = ctypes.CDLL(path, mode=ctypes.RTLD_GLOBAL)
    except OSError:
        return None
    # Builds with prefixed or suffixed symbols load well and replace nothing.
    return library if hasattr(library, "cblas_sgemm") else None


def _share_cores(library: ctypes.CDLL, num_workers: int) -> None:
    """Threads of several processes that spin on the same cores would only hold each other up."""
    if num_workers > 1 and hasattr(library, "openblas_set_num_threads"):
        library.openblas_set_num_threads(max(1, (os.cpu_count() or 1) // num_workers))


def _describe(path: str, library: ctypes.CDLL) -> BlasReport:
    config = _call(library, "openblas_get_config", ctypes.c_char_p)
    words = config.decode(errors="replace").split() if isinstance(config, bytes) else []
    num_threads = _call(library, "openblas_get_num_threads", ctypes.c_int)
    return BlasReport(
        is_needed=True,
        library=path,
        version=words[1] if len(words) > 1 else None,
        num_threads=num_threads if isinstance(num_threads, int) else None,
    )


def _call(library: ctypes.CDLL, name: str, result_type: Callable[..., object]) -> object:
    function = getattr(library, name, None)
    if function is None:
        return None
    function.restype = result_type
    result: object = function()
    return result
