"""Behind a proxy: a Unix socket, a path above, addresses that are passed on."""

from __future__ import annotations

import signal
import stat
from pathlib import Path

import httpx
import pytest

from api.config import ServerConfig
from api.errors import StartupError
from api.keys.key import hash_of
from api.serving.sockets import open_unix_socket
from tests.fakes.live_server import live_server
from tests.fakes.server_handler import FakeServerHandler
from tests.serving.programs import BODY, Start

CHAT = "/v1/chat/completions"


def test_a_unix_socket_serves(start: Start, tmp_path: Path) -> None:
    path = str(tmp_path / "socket")
    program, url = start("hello", "--uds", path)
    assert url == f"http+unix://{path}"
    with httpx.Client(transport=httpx.HTTPTransport(uds=path), base_url="http://any", timeout=20) as client:
        assert client.get("/health").status_code == 200
        assert client.post(CHAT, json=BODY).text.endswith("data: [DONE]\n\n")
    program.send_signal(signal.SIGTERM)
    assert program.wait(60) == 0


def test_only_an_abandoned_socket_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "socket"
    with open_unix_socket(str(path)), pytest.raises(StartupError, match="in use"):
        open_unix_socket(str(path))
    assert stat.S_ISSOCK(path.stat().st_mode)  # left behind, as by a kill
    open_unix_socket(str(path)).close()
    other = tmp_path / "file"
    other.write_text("mine", encoding="utf-8")
    with pytest.raises(StartupError, match="in use"):
        open_unix_socket(str(other))
    assert other.read_text(encoding="utf-8") == "mine"
    with pytest.raises(StartupError, match="No such file"):
        open_unix_socket(str(tmp_path / "no" / "socket"))


def test_a_path_above(tmp_path: Path) -> None:
    config = ServerConfig(root_path="/llm", api_key_hashes=(hash_of("sk-1"),))
    key = {"x-api-key": "sk-1"}
    with live_server(FakeServerHandler(), config) as url:
        assert httpx.get(f"{url}/health").status_code == 200
        assert httpx.get(f"{url}/v1/models").status_code == 401
        assert httpx.get(f"{url}/v1/models", headers=key).status_code == 200
        assert httpx.post(f"{url}{CHAT}", json=BODY, headers=key).status_code == 200


@pytest.mark.parametrize(("trusted", "num_clients"), [(None, 2), ("127.0.0.1", 2), ("10.9.9.9", 1), ("*", 2)])
def test_only_trusted_proxies_say_who_the_client_is(trusted: str | None, num_clients: int) -> None:
    handler = FakeServerHandler()
    with live_server(handler, ServerConfig(forwarded_allow_ips=trusted)) as url:
        for address in ("10.0.0.1", "10.0.0.2"):
            httpx.post(f"{url}{CHAT}", json=BODY, headers={"x-forwarded-for": address})
    assert len({request.client_id for request in handler.requests}) == num_clients
