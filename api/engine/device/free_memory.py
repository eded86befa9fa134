"""How many bytes this process may take, on the device that computes."""

from __future__ import annotations

import mlx.core as mx

from api.engine.device.system_memory import available_ram_bytes, physical_bytes, process_limit_bytes


def is_cpu_backend() -> bool:
    """True where MLX computes on the CPU."""
    return bool(mx.default_device() == mx.cpu)


def free_bytes() -> int | None:
    """Returns the memory that this process's arrays can use now, in bytes; None where nobody says."""
    known = [size for size in (shared_free_bytes(), own_limit_bytes()) if size is not None]
    return min(known, default=None)


def shared_free_bytes() -> int | None:
    """The same for all processes together: what several workers have to share."""
    return available_ram_bytes() if is_cpu_backend() else _device_bytes()


def own_limit_bytes() -> int | None:
    """What limits of this process alone leave to it; None where it has none, or the arrays lie elsewhere."""
    return process_limit_bytes() if is_cpu_backend() else None


def max_array_bytes() -> int | None:
    """The largest array that the device can hold; None where only its memory limits that."""
    limit = None if is_cpu_backend() else mx.device_info().get("max_buffer_length")
    return limit if isinstance(limit, int) and limit > 0 else None


def total_bytes() -> int | None:
    """Returns all the memory that the device has, in bytes; None where nobody says."""
    if is_cpu_backend():
        return physical_bytes()
    sizes = [mx.device_info().get(name) for name in ("memory_size", "total_memory")]
    return max((size for size in sizes if isinstance(size, int)), default=None)


def gigabytes(num_bytes: float) -> str:
    """Formats a size for a person: "93 MB", "1.6 GB"."""
    return f"{num_bytes / 1e9:.1f} GB" if num_bytes >= 1e9 else f"{num_bytes / 1e6:.0f} MB"


def _device_bytes() -> int | None:
    """What is left of the GPU's memory, the buffers that MLX keeps for reuse included.

    CUDA says what is free, this process's own arrays already subtracted; Metal says how much may be used.
    """
    info = mx.device_info()
    free, usable = info.get("free_memory"), info.get("max_recommended_working_set_size")
    if isinstance(free, int):
        return free + mx.get_cache_memory()
    return max(0, usable - mx.get_active_memory()) if isinstance(usable, int) else None
