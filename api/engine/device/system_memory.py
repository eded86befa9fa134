"""How much main memory the system leaves to this process: what is free, a container's limit, its own."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from pathlib import Path

from api.control_groups import control_group_folders

_ROOT = Path("/")
# The files of both generations of Linux's control groups: limit, use, and the page cache, which the kernel
# gives back first, so it counts as free.
_CGROUP_FILES = (
    ("memory.max", "memory.current", "inactive_file"),
    ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
)


def available_ram_bytes(root: Path = _ROOT) -> int | None:
    """Free main memory in bytes, for all processes together: the system's, or what containers leave."""
    known = [size for size in (_meminfo_bytes(root), *_cgroups_bytes(root)) if size is not None]
    return min(known) if known else physical_bytes()


def process_limit_bytes(root: Path = _ROOT) -> int | None:
    """What this process may still map, by ``ulimit -v`` and ``-d``; None without a limit or a /proc."""
    used = _status_bytes(root, ("VmSize", "VmData"))
    limits = {"VmSize": resource.RLIMIT_AS, "VmData": resource.RLIMIT_DATA}
    left = []
    for name, num_bytes in used.items():
        soft_limit, _ = resource.getrlimit(limits[name])
        if soft_limit != resource.RLIM_INFINITY:
            left.append(max(0, soft_limit - num_bytes))
    return min(left, default=None)


def _meminfo_bytes(root: Path) -> int | None:
    return _kilobyte_lines(root / "proc/meminfo").get("MemAvailable")


def _status_bytes(root: Path, names: tuple[str, ...]) -> dict[str, int]:
    lines = _kilobyte_lines(root / "proc/self/status")
    return {name: lines[name] for name in names if name in lines}


def _kilobyte_lines(path: Path) -> dict[str, int]:
    """``Name:   12 kB`` for each line of that form, in bytes."""
    try:
        lines = [line.replace(":", " ").split() for line in path.read_text().splitlines()]
    except OSError:
        return {}
    return {words[0]: int(words[1]) * 1024 for words in lines if len(words) == 3 and words[2] == "kB"}


def _cgroups_bytes(root: Path) -> Iterator[int]:
    """What each group that this process is in leaves to it."""
    for folder in control_group_folders("memory", root):
        for limit_name, used_name, cache_name in _CGROUP_FILES:
            try:
                limit = int((folder / limit_name).read_text())
                used = int((folder / used_name).read_text())
                reclaimable = _stat_bytes(folder / "memory.stat", cache_name)
            except (OSError, ValueError):  # no limit is spelled "max"
                continue
            yield max(0, limit - used + reclaimable)


def _stat_bytes(path: Path, wanted: str) -> int:
    for line in path.read_text().splitlines():
        name, _, value = line.partition(" ")
        if name == wanted:
            return int(value)
    return 0


def physical_bytes() -> int | None:
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError):
        return None
