from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

import app
from api.config import ServerConfig
from api.errors import StartupError
from api.serving.exposure import check_certificate, exposure_warning


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.0.7", "nas.local", ""])
def test_who_listens_for_others_without_a_key_is_warned(host: str) -> None:
    warning = exposure_warning(ServerConfig(host=host))
    assert warning is not None
    assert "--host 127.0.0.1" in warning
    assert "--api-key" in warning


@pytest.mark.parametrize(
    "settings",
    [
        {"host": "127.0.0.1"},
        {"host": "localhost"},
        {"host": "::1"},
        {"api_key_hashes": ("0" * 64,)},
        {"api_key_file": "keys.toml"},
        {"uds": "socket"},
    ],
)
def test_who_does_not_is_not(settings: dict[str, Any]) -> None:
    assert exposure_warning(ServerConfig(**settings)) is None


def test_it_is_said_once_at_the_start_before_anything_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app, "configure_logging", lambda verbose, log_format: None)
    monkeypatch.setattr(app, "queued_prints", lambda writer: capture_logs())
    said: list[str] = []
    monkeypatch.setattr(app.log, "warning", said.append)
    monkeypatch.setattr(app, "load_and_serve", lambda config, sock, supervision: sock.close() or len(said))
    assert app.main(["--port", "0"]) == 1
    assert app.main(["--port", "0", "--host", "127.0.0.1"]) == 1
    assert app.main(["--port", "0", "--api-key", "sk-1"]) == 1


def test_a_certificate_that_is_none_ends_the_start(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    check_certificate(ServerConfig())
    path = tmp_path / "cert.pem"
    with pytest.raises(StartupError, match="No such file"):
        check_certificate(ServerConfig(ssl_certfile=str(path)))
    path.write_text("no certificate", encoding="utf-8")
    assert app.main(["--host", "127.0.0.1", "--port", "0", "--ssl-certfile", str(path)]) == 2
    assert capsys.readouterr().err.startswith("error: cannot use the certificate")
