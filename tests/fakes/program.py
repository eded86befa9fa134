"""The program as a user starts it."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
from dataclasses import dataclass
from pathlib import Path

from tests.fakes.live_server import wait_until

ROOT = Path(__file__).resolve().parents[2]
SERVING = re.compile(r"serving at (http://\S+)")


@dataclass
class Program:
    """A running ``python app.py`` and what it has logged."""

    process: subprocess.Popen[str]
    lines: list[str]
    reader: threading.Thread

    @classmethod
    def start(cls, *arguments: str) -> Program:
        # What is measured takes seconds, and changes no answer.
        command = [
            sys.executable,
            "app.py",
            "--host",
            "127.0.0.1",
            "--port",
            "0",
            "--tune",
            "off",
            *arguments,
        ]
        process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True)
        lines: list[str] = []
        assert process.stderr is not None
        reader = threading.Thread(target=lines.extend, args=(process.stderr,))
        reader.start()
        return cls(process, lines, reader)

    @property
    def url(self) -> str:
        """Waits until the model is loaded (fetched, at the very first time)."""
        wait_until(lambda: self.process.poll() is not None or self._match() is not None, 300)
        match = self._match()
        assert match is not None, "".join(self.lines)
        return match[1]

    def _match(self) -> re.Match[str] | None:
        return SERVING.search("".join(self.lines))

    def wait(self) -> int:
        """The exit code; raises TimeoutExpired."""
        code = self.process.wait(30)
        self.reader.join()
        assert self.process.stderr is not None
        self.process.stderr.close()
        return code

    def kill(self) -> None:
        self.process.kill()
        self.wait()
