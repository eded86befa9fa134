"""Threads that may take their time: running answers go first."""

from __future__ import annotations

import os
import sys
import threading

_NICENESS = 10


def yield_to_others() -> None:
    """Lowers the calling thread's priority. Linux has one for each thread; elsewhere nothing happens."""
    if sys.platform == "linux":
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICENESS)
