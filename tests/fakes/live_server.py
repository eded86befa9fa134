"""The application behind a real uvicorn, in a thread, on a free port."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from api.config import ServerConfig
from api.server_handler import ServerHandler
from api.serving.server import DrainingServer
from api.serving.sockets import open_socket, url_of
from app import create_app
from tests.fakes.server_handler import FakeServerHandler


@contextmanager
def live_server(
    handler: FakeServerHandler | ServerHandler, config: ServerConfig | None = None
) -> Iterator[str]:
    """Yields the URL."""
    config = config or ServerConfig()
    typed = handler if isinstance(handler, ServerHandler) else handler.typed
    sock = open_socket("127.0.0.1", 0)
    url = url_of(sock)
    server = DrainingServer(config, create_app(config, typed), typed, url)
    thread = threading.Thread(target=server.run, args=([sock],), daemon=True)
    thread.start()
    wait_until(lambda: server.started)
    try:
        yield url
    finally:
        server.should_exit = True
        thread.join(timeout=10)


def wait_until(condition: object, timeout_seconds: float = 5.0) -> None:
    """Raises AssertionError when ``condition()`` stays false."""
    assert callable(condition)
    deadline = time.monotonic() + timeout_seconds
    while not condition():
        assert time.monotonic() < deadline, "not in time"
        time.sleep(0.01)
