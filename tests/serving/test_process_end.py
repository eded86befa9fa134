from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PREPARED = """
import logging, sys
from api.observability.logging import configure_logging
from api.observability.queued_prints import queued_prints
from api.serving.process_end import end_process
with queued_prints(configure_logging(False, "text")):
"""


def start(body: str) -> subprocess.Popen[str]:
    code = PREPARED + "".join(f"    {line}\n" for line in body.splitlines())
    return subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stderr=subprocess.PIPE, text=True)


def test_a_log_that_nobody_reads_does_not_keep_a_process_from_ending() -> None:
    body = 'for _ in range(500): logging.warning("x" * 1000)\nprint("x" * 100_000)\nend_process(7)'
    with start(body) as program:  # its pipe holds 64 KB
        assert program.wait(30) == 7
        assert program.stderr is not None
        program.stderr.close()


def test_what_was_logged_last_is_written_before_the_end() -> None:
    with start('logging.warning("good " + "bye")\nend_process(0)') as program:
        assert "good bye" in program.communicate(timeout=30)[1]


def test_the_traceback_of_a_crash_is_shown_behind_the_lines_before_it() -> None:
    with start('logging.warning("be" + "fore")\nraise ValueError("cra" + "sh")') as program:
        errors = program.communicate(timeout=30)[1]
    assert program.returncode == 1
    assert errors.index("before") < errors.index("Traceback") < errors.index("ValueError: crash")
