"""Lets the C library keep what MLX's CPU backend frees while it works, and give it back when idle."""

from __future__ import annotations

import ctypes
import sys

# glibc's mallopt parameters, from its malloc.h.
_M_TRIM_THRESHOLD = -1
_M_TOP_PAD = -2
_M_MMAP_THRESHOLD = -3

_MAPPED_FROM_BYTES = 16 * 1024**2  # beyond the activations of a step, scores of long prompts included
_KEPT_FREE_BYTES = 256 * 1024**2
_GROWTH_BYTES = 16 * 1024**2


def keep_freed_memory() -> bool:
    """Tunes glibc's allocator; False where there is none.

    The CPU backend has no buffer cache: each operation's output is malloc'ed and freed. By default
    glibc maps large blocks afresh, so every element-wise operation on more than a few hundred rows
    pays for page faults (twice the time at 256 rows of 1,536).
    """
    if sys.platform != "linux":
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:  # another C library than glibc
        return False
    settings = (
        (_M_MMAP_THRESHOLD, _MAPPED_FROM_BYTES),
        (_M_TRIM_THRESHOLD, _KEPT_FREE_BYTES),
        (_M_TOP_PAD, _GROWTH_BYTES),
    )
    return all(mallopt(parameter, value) == 1 for parameter, value in settings)


def give_back_freed_memory() -> None:
    """Returns the heap's free pages to the system; for a server that has nothing to do."""
    malloc_trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
    if malloc_trim is not None:
        malloc_trim(0)
