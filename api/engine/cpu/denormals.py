"""Denormal numbers, those next to zero with fewer digits, taken as zero by the processor.

Intel's processors take about a hundred times as long over them. The switch belongs to a thread, and a new
thread begins with that of the one which starts it: so it is set while the threads that compute are started,
those of the BLAS at its load and MLX's at a thread's first evaluation, and all others count as before.

Must not import mlx.
"""

from __future__ import annotations

import ctypes
import platform
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

_ENVIRONMENT_BYTES = 512  # more than any C library's fenv_t
_LIBRARIES = (None, "libm.so.6")  # as a rule Python itself brings the functions along


@dataclass(frozen=True, slots=True)
class _ControlWord:
    """Where a processor's control register lies in C's ``fenv_t`` on Linux, and its bits."""

    offset: int
    flush_bits: int
    always_one: int  # of a thread that traps nothing
    always_zero: int  # reserved

    def read(self, environment: bytes) -> int:
        return int.from_bytes(environment[self.offset : self.offset + 4], "little")

    def flushing(self, environment: bytes) -> bytes:
        word = (self.read(environment) | self.flush_bits).to_bytes(4, "little")
        return environment[: self.offset] + word + environment[self.offset + 4 :]

    def fits(self, environment: bytes) -> bool:
        word = self.read(environment)
        return word & self.always_one == self.always_one and not word & self.always_zero


_CONTROL_WORDS = {
    # MXCSR behind 28 bytes of x87: FTZ (results) and DAZ (operands)
    "x86_64": _ControlWord(28, 0x8040, always_one=0x1F80, always_zero=0xFFFF0000),
    # FPCR: FZ
    "aarch64": _ControlWord(0, 1 << 24, always_one=0, always_zero=0xF0009F00),
}


@contextmanager
def flushed_denormals() -> Iterator[bool]:
    """In this thread, and for good in those that are started meanwhile; yields False where that cannot be."""
    before = _flush()
    try:
        yield before is not None
    finally:
        if before is not None:
            _write(_library(), before)


def _flush() -> bytes | None:
    """Returns what was set before; None, and nothing is changed, where it does not work."""
    word = _CONTROL_WORDS.get(platform.machine()) if sys.platform == "linux" else None
    library = _library() if word is not None and sys.maxsize > 2**32 else None
    if word is None or library is None:
        return None
    before = _read(library)
    if before is None or not word.fits(before):
        return None
    if _write(library, word.flushing(before)) and _is_flushing():
        return before
    _write(library, before)
    return None


def _is_flushing() -> bool:
    """By its effect, whatever the C library's layout."""
    smallest_normal = sys.float_info.min
    return smallest_normal / 2 == 0


def _library() -> ctypes.CDLL | None:
    for name in _LIBRARIES:
        try:
            library = ctypes.CDLL(name)
        except OSError:
            continue
        if hasattr(library, "fegetenv") and hasattr(library, "fesetenv"):
            return library
    return None


def _read(library: ctypes.CDLL) -> bytes | None:
    buffer = ctypes.create_string_buffer(_ENVIRONMENT_BYTES)
    return buffer.raw if library.fegetenv(buffer) == 0 else None


def _write(library: ctypes.CDLL | None, environment: bytes) -> bool:
    buffer = ctypes.create_string_buffer(environment, len(environment))
    return library is not None and bool(library.fesetenv(buffer) == 0)
