"""How the process ends: the signals that ask for it, what its starter is told, and the end itself."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from typing import NoReturn

WORKERS_CRASHED_CODE = 1
STARTUP_ERROR_CODE = 2  # as argparse's: starting again as it is would end in the same way
ENGINE_DEAD_CODE = 70  # EX_SOFTWARE of sysexits.h: it had served, and a new process will again
_FLUSH_SECONDS = 3.0  # a log that nobody reads must not keep a process from ending


def stop_signals() -> tuple[signal.Signals, ...]:
    """Ctrl-C, ``kill``, and a terminal that closes: unless nohup or a parent said to outlive that."""
    always = (signal.SIGINT, signal.SIGTERM)
    return always if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN else (*always, signal.SIGHUP)


def insists(sig: int) -> bool:
    """Whether ``sig``, coming again, is a person who cannot wait.

    A closing terminal's signal comes several times by itself: from the shell, and from the system.
    """
    return sig != signal.SIGHUP


def end_process(code: int) -> NoReturn:
    """Without C++ destructors: MLX's stream threads may abort in them after a clean stop."""
    flushing = threading.Thread(target=_flush, name="last-flush", daemon=True)
    flushing.start()
    flushing.join(_FLUSH_SECONDS)
    os._exit(code)


def _flush() -> None:
    logging.shutdown()
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()
