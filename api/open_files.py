"""The process's limit of open files: each connection takes one."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator

# What is enough for any load; systems whose hard limit is "none" refuse more than one of these.
_WANTED_LIMITS = (65536, 10240)
_LARGEST_RESERVE, _RESERVE_SHARE = 256, 4


def raise_open_file_limit() -> None:
    """Raises the soft limit as far as the hard one allows."""
    if sys.platform == "win32":
        return
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    for wanted in _WANTED_LIMITS:
        raised = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        if soft == resource.RLIM_INFINITY or soft >= raised:
            return
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (raised, hard))
            return


def max_connections() -> int:
    """How many connections leave enough files for everything else."""
    if sys.platform == "win32":
        return _WANTED_LIMITS[0]
    import resource

    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    limit = _WANTED_LIMITS[0] if soft == resource.RLIM_INFINITY else min(soft, _WANTED_LIMITS[0])
    return max(1, limit - min(_LARGEST_RESERVE, limit // _RESERVE_SHARE))


@contextlib.contextmanager
def keeps_open_file_limit() -> Iterator[None]:
    """For the import of mlx-lm, which sets the process's limits to its own.

    It lowers the hard limit too, which no one but root can put back, and fails where that is below its own:
    so it is not let through at all.
    """
    if sys.platform == "win32":
        yield
        return
    import resource

    setrlimit = resource.setrlimit
    resource.setrlimit = lambda which, limits: None
    try:
        yield
    finally:
        resource.setrlimit = setrlimit
