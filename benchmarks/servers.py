"""Starts, pauses and stops the two servers that a benchmark compares."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from api.engine.cpu.blas.load import BlasReport, preload_blas

ROOT = Path(__file__).resolve().parent.parent
HOST = "127.0.0.1"
START_TIMEOUT_SECONDS = 180.0
STOP_TIMEOUT_SECONDS = 40.0


class ServerFailedError(Exception):
    """A server did not start or died; the message carries the end of its log."""


@dataclass(slots=True)
class Server:
    """A running server process, alone in its session so that nothing of it outlives the benchmark."""

    name: str
    url: str
    model: str  # the name that its requests carry
    process: subprocess.Popen[bytes]
    log_path: Path

    def pause(self) -> None:
        """Stops the process where it is: an idle server that polls takes nothing from the other."""
        os.killpg(self.process.pid, signal.SIGSTOP)

    def resume(self) -> None:
        os.killpg(self.process.pid, signal.SIGCONT)

    def stop(self) -> None:
        if self.process.poll() is not None:
            return
        self.resume()
        self.process.terminate()
        try:
            self.process.wait(STOP_TIMEOUT_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    def peak_memory_bytes(self) -> int | None:
        """The process's own high-water mark; None where only ended children are accounted (macOS)."""
        status = Path(f"/proc/{self.process.pid}/status")
        if not status.exists():
            return None
        match = re.search(r"VmHWM:\s+(\d+) kB", status.read_text())
        return int(match[1]) * 1024 if match else None

    def get(self, path: str) -> dict[str, Any]:
        """What the server answers to a GET, parsed."""
        with urllib.request.urlopen(self.url + path) as response:
            answer: dict[str, Any] = json.load(response)
        return answer

    def log_tail(self, num_bytes: int = 2000) -> str:
        return self.log_path.read_text(errors="replace")[-num_bytes:]


@contextmanager
def project_server(folder: Path, *extra: str) -> Iterator[Server]:
    """This project's server on a free port, ready to answer."""
    port = free_port()
    command = [sys.executable, "app.py", str(folder), "--host", HOST, "--port", str(port), *extra]
    with _running("project", command, port, "model", openblas_environment()) as server:
        yield server


@contextmanager
def mlx_lm_server(folder: Path, *extra: str) -> Iterator[Server]:
    """``mlx_lm.server`` on a free port with the same BLAS and room for 32 streams."""
    port = free_port()
    command = [sys.executable, "-m", "mlx_lm", "server", "--model", str(folder), "--host", HOST]
    command += ["--port", str(port), "--decode-concurrency", "32", "--log-level", "WARNING", *extra]
    with _running("mlx_lm.server", command, port, str(folder), openblas_environment()) as server:
        yield server


@contextmanager
def only(active: Server, others: list[Server]) -> Iterator[None]:
    """Runs ``active`` alone: the others are stopped where they are and go on afterwards."""
    for other in others:
        other.pause()
    try:
        yield
    finally:
        for other in others:
            other.resume()


@contextmanager
def _running(name: str, command: list[str], port: int, model: str, env: dict[str, str]) -> Iterator[Server]:
    with tempfile.NamedTemporaryFile(prefix="benchmark-", suffix=".log") as log:
        process = subprocess.Popen(command, cwd=ROOT, env=env, stdout=log, stderr=log, start_new_session=True)
        server = Server(name, f"http://{HOST}:{port}", model, process, Path(log.name))
        try:
            _wait_ready(server)
            yield server
        finally:
            server.stop()


def _wait_ready(server: Server) -> None:
    deadline = time.monotonic() + START_TIMEOUT_SECONDS
    while not _answers(server.url + "/health"):
        if server.process.poll() is not None:
            raise ServerFailedError(f"{server.name} ended while starting:\n{server.log_tail()}")
        if time.monotonic() > deadline:
            raise ServerFailedError(f"{server.name} is not ready after {START_TIMEOUT_SECONDS:.0f} s")
        time.sleep(0.2)


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as response:
            return bool(response.status == 200)
    except (urllib.error.URLError, ConnectionError, TimeoutError):
        return False


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


@cache
def openblas_environment() -> dict[str, str]:
    """The environment with OpenBLAS preloaded, so that both servers compute with the same library and
    the same kernels: those of ``OPENBLAS_CORETYPE``, or the ones that a start of this project's chooses.

    Puts it in place for this process too. Raises RuntimeError when mlx was imported before the first call.
    """
    blas = preload_blas()
    if blas.is_too_late:
        raise RuntimeError(blas.line)
    return {**os.environ, **_preloading(blas), "PYTHONUNBUFFERED": "1"}


def _preloading(blas: BlasReport) -> dict[str, str]:
    if blas.library is None:
        return {}
    kernels = blas.users_kernels or blas.kernels
    return {"LD_PRELOAD": blas.library, **({"OPENBLAS_CORETYPE": kernels} if kernels else {})}
