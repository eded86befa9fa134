"""A folder that several processes write, one at a time."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

LOCK_NAME = ".lock"


@contextmanager
def exclusive(folder: Path) -> Iterator[Path]:
    """Holds ``folder`` against others, of this process and of others; yields the lock's file."""
    lock = folder / LOCK_NAME
    with lock.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield lock
