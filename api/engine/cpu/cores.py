"""How many cores this process may use: by its affinity and by the limits of its control groups."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from api.control_groups import control_group_folders

_ROOT = Path("/")


def visible_cores() -> int:
    """Those that the process may run on, as threads' libraries count them."""
    if sys.platform == "linux":
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def usable_cores(root: Path = _ROOT) -> int:
    """At least 1: a container with two cores' worth of time on a large machine has two. With a thread for
    each core that it sees they would use up that time waiting for one another."""
    return max(1, min([visible_cores(), *(math.ceil(quota) for quota in _quotas(root))]))


def _quotas(root: Path) -> Iterator[float]:
    """Cores' worth of time that each group above this process allows."""
    for folder in control_group_folders("cpu", root):
        yield from _quota(folder / "cpu.max")
        yield from _quota(folder / "cpu.cfs_quota_us", folder / "cpu.cfs_period_us")


def _quota(*files: Path) -> Iterator[float]:
    try:
        quota, period = (int(word) for file in files for word in file.read_text().split())
    except (OSError, ValueError):  # no limit is spelled "max"
        return
    if quota > 0 and period > 0:
        yield quota / period
