"""What differs between Metal, CUDA and the CPU backend, and is known before anything is measured.

What must be known before mlx is imported, or of the machine's memory, is said elsewhere:
``cpu/blas/load.py``, ``free_memory.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import mlx.core as mx

from api.engine.cpu import functions as cpu_functions
from api.engine.cpu.allocator import give_back_freed_memory, keep_freed_memory
from api.engine.cpu.rope import RopeFactory
from api.engine.device.noise import DrawnRow, device_noise, host_noise

# OpenBLAS shares a product's rows among its threads in pieces of four, two for each thread in turn. On two
# threads, 28 rows of the default model take 1.7 times as long as 32, and 8 rows 1.2 times as long as 16.
_CPU_ROW_MULTIPLE = 16
_CPU_BUFFER_CACHE_BYTES = 256 * 1024**2


def exp_nonpositive(x: mx.array) -> mx.array:
    """``exp(x)`` for ``x <= 0``, by MLX's own kernel."""
    return mx.exp(x)


@dataclass(frozen=True, slots=True)
class Platform:
    """The choices that depend on the device; everything else in the engine is the same code."""

    name: str
    is_cpu: bool
    max_step_tokens: int  # rows of one forward beyond which nothing is gained per row
    row_multiple: int  # forwards are filled up to a multiple of this many rows
    dispatch_waits: bool  # MLX's CPU backend computes nearly all of a step before it takes the rest
    compiles_steps: bool  # whether decode steps are traced by mx.compile; on a CPU that needs a C++ compiler
    first_chunk_tokens: int  # prompt rows beside running streams before any step was timed
    exp: Callable[[mx.array], mx.array]  # for x <= 0
    noise: Callable[[Sequence[DrawnRow], int], mx.array]  # exponential, for rows and a vocabulary's size
    model_functions: Mapping[str, Callable[..., Any]]  # given to the models in place of mlx-lm's own
    buffer_cache_bytes: int  # freed buffers that MLX may keep for reuse
    attention_bytes: int  # scores and their like, of one layer at a time
    process_bytes: int  # kept free for Python and for what the allocator cannot use again
    release_memory: Callable[[], None]  # gives back what is kept for reuse, when there is no work


def detect_platform() -> Platform:
    """The platform of MLX's default device."""
    return cpu_platform() if mx.default_device() == mx.cpu else gpu_platform()


def cpu_platform() -> Platform:
    return Platform(
        name="cpu",
        is_cpu=True,
        max_step_tokens=256,
        row_multiple=_CPU_ROW_MULTIPLE,
        dispatch_waits=True,
        compiles_steps=False,
        first_chunk_tokens=64,
        exp=cpu_functions.exp_nonpositive,
        noise=host_noise,
        model_functions={
            "activations.swiglu": cpu_functions.swiglu,
            "rope_utils.initialize_rope": RopeFactory(),
        },
        buffer_cache_bytes=_CPU_BUFFER_CACHE_BYTES,
        attention_bytes=64 * 1024**2,
        process_bytes=_CPU_BUFFER_CACHE_BYTES + 128 * 1024**2,  # the one is not given up for the other
        release_memory=give_back_freed_memory,
    )


def gpu_platform() -> Platform:
    return Platform(
        name="metal" if mx.metal.is_available() else "cuda",
        is_cpu=False,
        max_step_tokens=2048,
        row_multiple=1,
        dispatch_waits=False,
        compiles_steps=True,
        first_chunk_tokens=256,
        exp=exp_nonpositive,
        noise=device_noise,
        model_functions={},
        buffer_cache_bytes=1024**3,
        attention_bytes=768 * 1024**2,
        process_bytes=256 * 1024**2,
        release_memory=mx.clear_cache,
    )


def prepare_device(platform: Platform) -> None:
    """Process-wide settings: a bounded buffer cache, on Metal weights that stay wired."""
    if platform.is_cpu:
        keep_freed_memory()
    mx.set_cache_limit(platform.buffer_cache_bytes)
    if platform.name == "metal":
        limit = mx.device_info().get("max_recommended_working_set_size")
        if limit:
            mx.set_wired_limit(int(limit))
