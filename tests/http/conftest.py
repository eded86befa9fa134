from __future__ import annotations

from collections.abc import Callable

import httpx
import pytest

from api.config import ServerConfig
from app import create_app
from tests.fakes.server_handler import FakeServerHandler
from tests.http.converting import convert

__all__ = ["convert"]  # a fixture

ClientFactory = Callable[..., httpx.AsyncClient]


@pytest.fixture
def handler() -> FakeServerHandler:
    return FakeServerHandler()


@pytest.fixture
def client_for(handler: FakeServerHandler) -> ClientFactory:
    def build(**settings: object) -> httpx.AsyncClient:
        app = create_app(ServerConfig(**settings), handler.typed)  # type: ignore[arg-type]
        return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test")

    return build


@pytest.fixture
def client(client_for: ClientFactory) -> httpx.AsyncClient:
    return client_for()
