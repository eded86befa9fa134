"""What differs between Metal, CUDA and the CPU backend, in one place."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import mlx.core as mx

from api.engine import cpu_functions

GIB = 1024**3


def exp_nonpositive(x: mx.array) -> mx.array:
    """``exp(x)`` for ``x <= 0``, by MLX's own kernel."""
    return mx.exp(x)


@dataclass(frozen=True, slots=True)
class Platform:
    """The choices that depend on the device; everything else in the engine is the same code."""

    name: str
    is_cpu: bool
    max_step_tokens: int  # rows of one forward beyond which nothing is gained per row
    first_chunk_tokens: int  # prompt rows beside running streams before any step was timed
    dispatches_ahead: bool  # hand step N+1 to the device before step N's tokens are read
    exp: Callable[[mx.array], mx.array]  # for x <= 0
    swiglu: Callable[[mx.array, mx.array], mx.array] | None  # given to the models instead of their own


def detect_platform() -> Platform:
    """The platform of MLX's default device.

    On the CPU backend a buffer that a dispatched step still reads is not donated, so a step handed
    over early would copy KV; there the next step's graph is built ahead and dispatched after the read.
    """
    if mx.default_device() == mx.Device(mx.cpu):
        # Compiled kernels need a C++ compiler on the user's machine, and call the scalar exp.
        mx.disable_compile()
        return Platform("cpu", True, 256, 64, False, cpu_functions.exp_nonpositive, cpu_functions.swiglu)
    name = "metal" if mx.metal.is_available() else "cuda"
    return Platform(name, False, 2048, 256, True, exp_nonpositive, None)


def available_memory_bytes() -> int:
    """Bytes that this process may still take without swapping: the device's limit or the free memory."""
    if mx.default_device() != mx.Device(mx.cpu):
        return _device_limit_bytes() - mx.get_active_memory()
    return _free_host_memory_bytes()


def _device_limit_bytes() -> int:
    info = mx.device_info()
    for key in ("max_recommended_working_set_size", "total_memory", "memory_size"):
        if key in info:
            return int(info[key])
    return _free_host_memory_bytes()


def _free_host_memory_bytes() -> int:
    if sys.platform == "linux":
        for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
