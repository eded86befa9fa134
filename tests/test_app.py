from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

import app
from api.errors import StartupError
from api.serving.sockets import open_socket
from tests.fakes.live_server import live_server
from tests.fakes.server_handler import FakeServerHandler

ROOT = Path(app.__file__).parent


def test_importing_the_program_does_not_import_mlx() -> None:
    """The BLAS has to be in place first; workers' parents need none of it at all."""
    code = "import app, sys; sys.exit('mlx.core' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


def test_a_port_in_use_ends_with_2_and_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with open_socket("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        assert app.main(["--host", "127.0.0.1", "--port", str(port)]) == 2
    assert capsys.readouterr().err == (
        f"error: port {port} on 127.0.0.1 is in use; choose another one with --port\n"
    )


def test_a_model_that_cannot_be_loaded_ends_with_2(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    handler = FakeServerHandler()
    handler.load_error = StartupError("no such model: 'x'")
    monkeypatch.setattr(app, "create_handler", lambda config: handler)
    assert app.main(["x", "--host", "127.0.0.1", "--port", "0"]) == 2
    assert "error: no such model: 'x'\n" in capsys.readouterr().err
    assert handler.calls == ["start", "stop"]


def test_the_engine_starts_and_stops_with_the_server() -> None:
    handler = FakeServerHandler()
    with live_server(handler) as url:
        assert handler.calls == ["start"]
        assert httpx.get(f"{url}/health").status_code == 200
    assert handler.calls == ["start", "stop"]


def test_kernels_are_measured_before_workers_share_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[object] = []

    class FakeSupervisor:
        def __init__(self, work: object, sock: socket.socket, *args: object) -> None:
            sock.close()

        def run(self) -> int:
            calls.append("run")
            return 0

    monkeypatch.setattr(app, "Supervisor", FakeSupervisor)
    monkeypatch.setattr(app, "measure_blas", calls.append)
    assert app.main(["x", "--host", "127.0.0.1", "--port", "0", "--reload"]) == 0
    assert calls == [1, "run"]
