"""One process that compiles grammars: whatever a grammar does to it, the server goes on.

Compiling means running a native library over what a stranger sent. It may take for ever, all memory, or
overflow the stack; the process then ends, or is ended, and the grammar is refused.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import orjson

from api.errors import ApiError, InvalidRequestError, ServerSideError
from api.text.grammar.job import GrammarJob
from api.text.grammar.vocabulary import VocabularySource

_PROJECT_FOLDER = Path(__file__).resolve().parents[3]
_POLL_SECONDS = 0.1  # how soon a compilation that nobody waits for any more is noticed
_MAX_START_SECONDS = 60.0
_WALL_FACTOR = 4  # a process that had little of the processor may take so much longer than its own time
TIME_EXIT_CODE, MEMORY_EXIT_CODE = 8, 9


@dataclass(frozen=True, slots=True)
class Compiled:
    """The grammar can be compiled within the limits, from this source."""

    source: str
    seconds: float  # of a processor


@dataclass(frozen=True, slots=True)
class Abandoned:
    """Nobody waits for the answer any more."""


Verdict = Compiled | ApiError | Abandoned


class CompilerProcess:
    """Started by the first job, and again after it ended. One thread compiles; any may ``close``."""

    def __init__(self, vocabulary: VocabularySource, max_seconds: float) -> None:
        self._vocabulary = vocabulary
        self._max_seconds = max_seconds
        self._process: subprocess.Popen[bytes] | None = None
        self._connection: Connection | None = None

    def compile(self, job: GrammarJob, is_wanted: Callable[[], bool]) -> Verdict:
        """Returns the verdict, within a few times the limit of time at the latest."""
        try:
            connection = self._connected()
        except (EOFError, OSError) as error:
            self.close()
            return ServerSideError(f"The server cannot start the process that compiles grammars: {error}")
        try:
            connection.send_bytes(job.to_json())
            return self._wait(connection, job, is_wanted)
        except InvalidRequestError as error:
            return error
        except (EOFError, OSError):
            return _refusal(job, self._reason())

    def _reason(self) -> str:
        """Why the process ended; it is ended for good."""
        process = self._process
        if process is not None:
            with suppress(subprocess.TimeoutExpired):
                process.wait(_POLL_SECONDS)  # its own exit code, before it is killed
        self.close()
        code = None if process is None else process.returncode
        if code == TIME_EXIT_CODE:
            return f"compiling it takes longer than {self._max_seconds:g} s"
        if code == MEMORY_EXIT_CODE:
            return "compiling it takes too much memory"
        return "it is too large or nested too deeply: compiling it broke off"

    def close(self) -> None:
        """Ends the process."""
        process, connection = self._process, self._connection
        self._process = self._connection = None
        if process is not None:
            process.kill()
            process.wait()
        if connection is not None:
            connection.close()

    def _wait(self, connection: Connection, job: GrammarJob, is_wanted: Callable[[], bool]) -> Verdict:
        end_seconds = time.monotonic() + _WALL_FACTOR * self._max_seconds
        while not connection.poll(_POLL_SECONDS):
            if time.monotonic() > end_seconds:
                self.close()
                return _refusal(job, f"compiling it takes longer than {self._max_seconds:g} s")
            if not is_wanted():
                self.close()
                return Abandoned()
        answer = orjson.loads(connection.recv_bytes())
        if answer["is_last"]:  # it has grown, and is about to end
            self.close()
        return _read(answer)

    def _connected(self) -> Connection:
        """Raises OSError or EOFError where no process can be started."""
        if self._connection is not None and self._process is not None and self._process.poll() is None:
            return self._connection
        self.close()
        ours, theirs = socket.socketpair()
        with theirs:
            self._connection = Connection(ours.detach())
            self._process = _start(theirs.fileno(), self._max_seconds)
        self._connection.send_bytes(orjson.dumps(self._vocabulary))
        if not self._connection.poll(_MAX_START_SECONDS):
            raise EOFError("it does not answer")
        self._connection.recv_bytes()  # it is ready
        return self._connection


def _start(descriptor: int, max_seconds: float) -> subprocess.Popen[bytes]:
    path = os.pathsep.join(filter(None, (str(_PROJECT_FOLDER), os.environ.get("PYTHONPATH"))))
    return subprocess.Popen(
        [sys.executable, "-m", "api.text.grammar.compiler_main", str(descriptor), str(max_seconds)],
        pass_fds=(descriptor,),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,  # a panic's last words, which a stranger could repeat without end
        env={**os.environ, "PYTHONPATH": path, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
    )


def _read(answer: dict[str, Any]) -> Verdict:
    if "source" in answer:
        return Compiled(answer["source"], answer["seconds"])
    if "message" in answer:
        return InvalidRequestError(answer["message"], param=answer["param"], code=answer["code"])
    return ServerSideError(f"The server failed to compile this request's grammar: {answer['failure']}")


def _refusal(job: GrammarJob, reason: str) -> InvalidRequestError:
    return InvalidRequestError(f"Invalid '{job.param}': {reason}.", param=job.param)
