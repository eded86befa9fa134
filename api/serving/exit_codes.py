"""What the process's end says to whoever started it."""

from __future__ import annotations

WORKERS_CRASHED_CODE = 1
STARTUP_ERROR_CODE = 2  # as argparse's: starting again as it is would end in the same way
ENGINE_DEAD_CODE = 70  # EX_SOFTWARE of sysexits.h: it had served, and a new process will again
