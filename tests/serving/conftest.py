"""Real processes around a fake engine."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.serving.programs import ROOT, Start


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts the program; returns it and its URL."""
    started: list[subprocess.Popen[str]] = []

    def run(mode: str, *options: str) -> tuple[subprocess.Popen[str], str]:
        command = [sys.executable, "-m", "tests.fakes.serving_program", mode, *options]
        environment = os.environ | {"WATCHED": str(tmp_path)}
        program = subprocess.Popen(
            command,
            cwd=ROOT,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        started.append(program)
        assert program.stdout is not None
        return program, program.stdout.readline().strip()

    yield run
    for program in started:
        if program.poll() is None:
            os.killpg(program.pid, signal.SIGKILL)
        program.communicate()


@pytest.fixture
def ignored_hangup() -> Iterator[None]:
    """As ``nohup`` leaves it to the programs that it starts."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    yield
    signal.signal(signal.SIGHUP, before)
