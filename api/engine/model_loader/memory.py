"""How many bytes the model may take, before it is read."""

from __future__ import annotations

import os
from pathlib import Path

import mlx.core as mx


def is_cpu_backend() -> bool:
    """True where MLX computes on the CPU."""
    return bool(mx.default_device() == mx.cpu)


def free_bytes() -> int | None:
    """Returns the memory that weights can use now, in bytes; None where nobody says."""
    return available_ram_bytes() if is_cpu_backend() else _device_bytes()


def available_ram_bytes(root: Path = Path("/")) -> int | None:
    """Returns free main memory in bytes: the system's, or what the container's limit leaves."""
    known = [size for size in (_meminfo_bytes(root), _cgroup_bytes(root)) if size is not None]
    return min(known) if known else _physical_bytes()


def total_bytes() -> int | None:
    """Returns all the memory that the device has, in bytes; None where nobody says."""
    if is_cpu_backend():
        return _physical_bytes()
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


def _meminfo_bytes(root: Path) -> int | None:
    try:
        lines = (root / "proc/meminfo").read_text().splitlines()
    except OSError:
        return None
    for line in lines:
        name, _, rest = line.partition(":")
        if name == "MemAvailable":
            return int(rest.split()[0]) * 1024
    return None


def _cgroup_bytes(root: Path) -> int | None:
    folder = root / "sys/fs/cgroup"
    try:
        limit = int((folder / "memory.max").read_text())
        used = int((folder / "memory.current").read_text())
        reclaimable = _inactive_file_bytes(folder)
    except (OSError, ValueError):  # no limit is spelled "max"
        return None
    return max(0, limit - used + reclaimable)


def _inactive_file_bytes(folder: Path) -> int:
    """Page cache that the kernel gives back first, so it counts as free."""
    for line in (folder / "memory.stat").read_text().splitlines():
        name, _, value = line.partition(" ")
        if name == "inactive_file":
            return int(value)
    return 0


def _physical_bytes() -> int | None:
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError):
        return None
