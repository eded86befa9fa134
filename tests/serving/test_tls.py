"""A round trip over TLS, with a certificate that is made here."""

from __future__ import annotations

import shutil
import signal
import socket
import ssl
import subprocess
from contextlib import suppress
from pathlib import Path

import httpx
import pytest

from api.config import ServerConfig
from api.errors import StartupError
from api.serving.exposure import check_certificate
from tests.serving.programs import BODY, Start

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="no openssl to make certificates")


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[str, str]:
    """Paths of a certificate of 127.0.0.1 and of its key."""
    cert, key = str(tmp_path / "cert.pem"), str(tmp_path / "key.pem")
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=test"]
    command += ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", cert]
    subprocess.run(command, check=True, capture_output=True)
    return cert, key


def test_answers_streams_and_an_early_leave(start: Start, certificate: tuple[str, str]) -> None:
    cert, key = certificate
    program, url = start("hello", "--ssl-certfile", cert, "--ssl-keyfile", key)
    assert url.startswith("https://127.0.0.1:")
    trust = ssl.create_default_context(cafile=cert)
    with httpx.Client(verify=trust, timeout=20) as client:
        assert client.get(f"{url}/health").status_code == 200
        text = client.post(f"{url}/v1/chat/completions", json=BODY).text
        assert text.endswith("data: [DONE]\n\n")
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{url}/health", timeout=20)  # nobody vouches for it
    port = int(url.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port), timeout=20) as plain:
        plain.sendall(b"GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n")
        with suppress(ConnectionResetError):
            assert b"HTTP" not in plain.recv(1000)
    with httpx.Client(verify=trust, timeout=20) as client:
        assert client.get(f"{url}/health").status_code == 200
    program.send_signal(signal.SIGTERM)
    assert program.wait(60) == 0


def test_a_key_that_does_not_belong_is_found_at_the_start(certificate: tuple[str, str]) -> None:
    cert, key = certificate
    check_certificate(ServerConfig(ssl_certfile=cert, ssl_keyfile=key))
    with pytest.raises(StartupError, match="cannot use the certificate"):
        check_certificate(ServerConfig(ssl_certfile=cert))
