import socket

import pytest

from api.errors import StartupError
from api.serving.sockets import open_socket, url_of


def test_a_port_in_use_is_said_in_one_line() -> None:
    with open_socket("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(StartupError, match=f"port {port} on 127.0.0.1 is in use"):
            open_socket("127.0.0.1", port)


def test_a_host_that_does_not_resolve() -> None:
    with pytest.raises(StartupError, match="cannot listen on"):
        open_socket("no such host", 0)


def test_connections_wait_until_somebody_serves() -> None:
    with open_socket("127.0.0.1", 0) as sock, socket.create_connection(sock.getsockname(), timeout=1):
        pass


def test_the_url_can_be_typed() -> None:
    with open_socket("0.0.0.0", 0) as sock:
        assert url_of(sock) == f"http://localhost:{sock.getsockname()[1]}"
    with open_socket("127.0.0.1", 0) as sock:
        assert url_of(sock).startswith("http://127.0.0.1:")


def test_connections_are_watched_for_machines_that_vanish() -> None:
    with open_socket("127.0.0.1", 0) as sock, socket.create_connection(sock.getsockname()):
        accepted, _ = sock.accept()
        with accepted:
            assert accepted.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
