"""The end of a process that has used MLX."""

from __future__ import annotations

import logging
import os
import sys
import threading
from typing import NoReturn

_FLUSH_SECONDS = 3.0  # a log that nobody reads must not keep a process from ending


def end_process(code: int) -> NoReturn:
    """Ends the process without C++ destructors: MLX's stream threads may abort in them after a clean stop."""
    flushing = threading.Thread(target=_flush, name="last-flush", daemon=True)
    flushing.start()
    flushing.join(_FLUSH_SECONDS)
    os._exit(code)


def _flush() -> None:
    logging.shutdown()
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()
