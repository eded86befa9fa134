"""The program of a process that compiles grammars; ``compiler_process.py`` starts it.

Reads one message with the vocabulary, then a job a message; answers each with what it compiled to or why not.
"""

from __future__ import annotations

import os
import resource
import signal
import sys
import threading
import time
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import Any

import orjson

from api.errors import InvalidRequestError
from api.text.grammar.compiler import GrammarCompiler
from api.text.grammar.compiler_process import MEMORY_EXIT_CODE, TIME_EXIT_CODE
from api.text.grammar.errors import GrammarError
from api.text.grammar.job import GrammarJob
from api.text.grammar.stacks import TRIED_STACK_BYTES, run_with_stack
from api.text.grammar.vocabulary import VocabularySource

_NICENESS = 10  # running answers go first
_MAX_GROWTH_BYTES = 256 * 1024**2  # beyond what the process takes when it is ready
_TIRED_GROWTH_BYTES = 128 * 1024**2  # after a job: a fresh process is better than one with so much garbage
_WATCH_SECONDS = 0.02
_MAX_CACHED = 8


def main(descriptor: int, max_seconds: float) -> None:
    """``max_seconds``: of this process's own time for one job, whatever else the machine is doing."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.nice(_NICENESS)
    with suppress(EOFError, OSError):  # the server has ended
        run_with_stack(TRIED_STACK_BYTES, lambda: _serve(Connection(descriptor), max_seconds))


def _serve(connection: Connection, max_seconds: float) -> None:
    compiler = _create_compiler(connection.recv_bytes())
    base_bytes = _peak_bytes()
    watch = _Watch(base_bytes + _MAX_GROWTH_BYTES, max_seconds)
    connection.send_bytes(b"ready")
    is_last = False
    while not is_last:
        job = GrammarJob.from_json(connection.recv_bytes())
        watch.restart()
        answer = _compile(compiler, job)
        is_last = _peak_bytes() > base_bytes + _TIRED_GROWTH_BYTES
        connection.send_bytes(orjson.dumps({**answer, "is_last": is_last}))


class _Watch:
    """Ends the process when a job takes too much; native code leaves it the Python lock."""

    def __init__(self, max_bytes: int, max_seconds: float) -> None:
        self._max_bytes = max_bytes
        self._max_seconds = max_seconds
        self.restart()
        threading.Thread(target=self._watch, daemon=True).start()

    def restart(self) -> None:
        """A job begins."""
        self._started_seconds = time.process_time()

    def _watch(self) -> None:
        while _peak_bytes() < self._max_bytes:
            if time.process_time() - self._started_seconds > self._max_seconds:
                os._exit(TIME_EXIT_CODE)
            time.sleep(_WATCH_SECONDS)
        os._exit(MEMORY_EXIT_CODE)


def _create_compiler(message: bytes) -> GrammarCompiler:
    fields = orjson.loads(message)
    source = VocabularySource(fields["definition"], tuple(fields["eos_token_ids"]))
    compiler = GrammarCompiler(source, max_cached=_MAX_CACHED)
    with suppress(GrammarError):  # each job will say so
        _ = compiler.vocabulary
    return compiler


def _compile(compiler: GrammarCompiler, job: GrammarJob) -> dict[str, Any]:
    started_seconds = time.process_time()
    try:
        source = compiler.run(job).source
        return {"source": source, "seconds": time.process_time() - started_seconds}
    except InvalidRequestError as error:
        return {"message": error.message, "param": error.param, "code": error.code}
    except RecursionError:
        message = f"Invalid '{job.param}': it is nested too deeply."
        return {"message": message, "param": job.param, "code": InvalidRequestError.code}
    except Exception as error:  # the worker's loop: a fault of ours must not look like the client's
        return {"failure": f"{type(error).__name__}: {error}"[:300]}


def _peak_bytes() -> int:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


if __name__ == "__main__":
    main(int(sys.argv[1]), float(sys.argv[2]))
