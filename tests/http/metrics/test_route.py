from __future__ import annotations

import asyncio
import os

import httpx

from api.config import ServerConfig
from api.server_handler import Health
from tests.fakes.live_server import live_server
from tests.fakes.server_handler import FakeServerHandler
from tests.http.conftest import ClientFactory
from tests.http.metrics.scraping import Scrape


def get(client: httpx.AsyncClient, method: str = "GET") -> httpx.Response:
    return asyncio.run(client.request(method, "/metrics"))


def test_it_is_prometheus_text_over_http() -> None:
    with live_server(FakeServerHandler()) as url:
        response = httpx.get(f"{url}/metrics", headers={"accept": "application/openmetrics-text"})
    assert response.status_code == 200
    assert response.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    found = Scrape.of(response.text)
    assert found("max_requests_running", model_name="org/tiny") == 32


def test_it_has_a_head(client: httpx.AsyncClient) -> None:
    response = get(client, "HEAD")
    assert (response.status_code, response.headers["content-type"][:10]) == (200, "text/plain")


def test_there_is_nothing_to_count_while_loading(
    client: httpx.AsyncClient, handler: FakeServerHandler
) -> None:
    handler.health = Health("loading", "reading weights")
    response = get(client)
    assert (response.status_code, response.headers["retry-after"]) == (503, "5")
    assert "reading weights" in response.json()["error"]["message"]


def test_a_server_that_drains_is_still_watched(client: httpx.AsyncClient, handler: FakeServerHandler) -> None:
    handler.health = Health("draining", "")
    assert get(client).status_code == 200


def test_each_of_several_workers_says_which_it_is(client_for: ClientFactory) -> None:
    assert "worker=" not in get(client_for()).text
    found = Scrape.of(get(client_for(workers=2)).text)
    assert found("max_requests_running", worker=str(os.getpid())) == 32


def test_applications_share_no_counts() -> None:
    """Nothing is registered beyond one answer."""
    for _ in range(2):
        with live_server(FakeServerHandler(), ServerConfig()) as url:
            assert Scrape.of(httpx.get(f"{url}/metrics").text)("requests_received_total") == 0
