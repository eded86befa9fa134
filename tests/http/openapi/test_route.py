from __future__ import annotations

import asyncio

import httpx

from api.config import ServerConfig
from api.http.openapi.document import openapi_document
from app import create_app
from tests.fakes.server_handler import FakeServerHandler


def test_it_is_served(client: httpx.AsyncClient) -> None:
    document = asyncio.run(client.get("/openapi.json")).json()
    assert document == openapi_document(create_app(ServerConfig(), FakeServerHandler().typed))
    assert document["info"]["title"] == "MLX chat server"
    assert document["openapi"] == "3.1.0"


def test_the_list_has_what_the_document_describes(client: httpx.AsyncClient) -> None:
    document = asyncio.run(client.get("/openapi.json")).json()
    lines = [f"{method.upper()} {path}" for path, item in document["paths"].items() for method in item]
    assert asyncio.run(client.get("/")).json() == {"endpoints": lines}
