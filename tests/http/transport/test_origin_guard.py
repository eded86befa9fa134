from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from api.http.transport.origin_guard import is_loopback
from tests.fakes.server_handler import FakeServerHandler
from tests.http.conftest import ClientFactory

CHAT = {"model": "tiny", "messages": [{"role": "user", "content": "hi"}]}
PATH = "/v1/chat/completions"


def send(client: httpx.AsyncClient, method: str, path: str, **arguments: Any) -> httpx.Response:
    return asyncio.run(client.request(method, path, **arguments))


def code_of(response: httpx.Response) -> str:
    code: str = response.json()["error"]["code"]
    return f"{response.status_code} {code}"


LOCAL = [
    "http://localhost",
    "http://localhost:3000",
    "https://localhost:3000",
    "HTTP://LOCALHOST:3000",
    "http://app.localhost:3000",
    "http://127.0.0.1:8080",
    "http://127.9.9.9",
    "http://[::1]:5173",
    "http://test",
    "http://test:3000",
    "https://TEST",
]
FOREIGN = [
    "http://a.example",
    "https://localhost.a.example",
    "http://notlocalhost",
    "http://127.0.0.1.a.example",
    "http://test.a.example",
    "http://10.0.0.1",
    "http://localhost@a.example",
    "http://a.example/localhost",
    "http://a.example#localhost",
    "http://[::1",
    "chrome-extension://localhost",
    "file://localhost",
    "localhost",
    "null",
    "",
]


@pytest.mark.parametrize("origin", LOCAL)
def test_local_pages_may(client: httpx.AsyncClient, origin: str) -> None:
    response = send(client, "POST", PATH, json=CHAT, headers={"origin": origin})
    assert (response.status_code, response.headers["access-control-allow-origin"]) == (200, "*")
    assert send(client, "GET", "/stats", headers={"origin": origin}).status_code == 200


@pytest.mark.parametrize("origin", FOREIGN)
def test_foreign_pages_may_not(client: httpx.AsyncClient, handler: FakeServerHandler, origin: str) -> None:
    asked = {"access-control-request-method": "POST", "access-control-request-headers": "content-type"}
    responses = [
        send(client, "POST", PATH, json=CHAT, headers={"origin": origin}),
        send(client, "GET", "/stats", headers={"origin": origin}),
        send(client, "OPTIONS", PATH, headers=asked | {"origin": origin}),
    ]
    assert [code_of(each) for each in responses] == ["403 origin_not_allowed"] * 3
    assert not any("access-control-allow-origin" in each.headers for each in responses)
    assert all(each.headers["x-request-id"] for each in responses)
    assert handler.requests == []
    assert handler.refused_codes == ["origin_not_allowed"] * 3


def test_one_foreign_origin_among_several_is_enough(client: httpx.AsyncClient) -> None:
    headers = [("origin", "http://localhost"), ("origin", "http://a.example")]
    assert send(client, "GET", "/stats", headers=headers).status_code == 403


def test_pages_that_the_operator_names(client_for: ClientFactory) -> None:
    client = client_for(cors_origins=("https://chat.example", "null"))
    for origin, status in (
        ("https://chat.example", 200),
        ("https://CHAT.example", 200),
        ("null", 200),
        ("http://chat.example", 403),
        ("https://chat.example:8443", 403),
        ("https://sub.chat.example", 403),
    ):
        assert send(client, "POST", PATH, json=CHAT, headers={"origin": origin}).status_code == status, origin


@pytest.mark.parametrize("origin", FOREIGN)
def test_all_pages_only_where_asked_for(client_for: ClientFactory, origin: str) -> None:
    client = client_for(cors_origins=("*",))
    assert send(client, "POST", PATH, json=CHAT, headers={"origin": origin}).status_code == 200


@pytest.mark.parametrize("path", [PATH, "/v1/completions", "/tokenize"])
@pytest.mark.parametrize("content_type", [None, "", "text/plain", "application/x-www-form-urlencoded"])
def test_a_page_must_say_that_it_sends_json(
    client: httpx.AsyncClient, path: str, content_type: str | None
) -> None:
    headers = {"origin": "http://localhost:3000"}
    if content_type is not None:
        headers["content-type"] = content_type
    response = send(client, "POST", path, content=b"{}", headers=headers)
    assert code_of(response) == "415 unsupported_media_type"
    assert response.headers["access-control-allow-origin"] == "*"  # so it can read why


def test_whoever_is_no_page_need_not(client: httpx.AsyncClient) -> None:
    body = httpx.Request("POST", "http://test", json=CHAT).content
    assert send(client, "POST", PATH, content=body).status_code == 200


@pytest.mark.parametrize("bound", ["127.0.0.1", "localhost", "::1"])
@pytest.mark.parametrize(
    ("host", "is_known"),
    [
        ("localhost:8000", True),
        ("LOCALHOST.:8000", True),
        ("127.0.0.1", True),
        ("[::1]:8000", True),
        ("api.localhost", True),
        ("", True),
        ("nas:8000", True),  # nobody can register a name without a dot
        ("a.example:8000", False),
        ("127.0.0.1.a.example", False),
        ("localhost.a.example", False),
        ("10.0.0.1:8000", False),
        ("0.0.0.0:8000", False),
    ],
)
def test_a_server_of_this_machine_alone_knows_its_names(
    client_for: ClientFactory, bound: str, host: str, is_known: bool
) -> None:
    client = client_for(host=bound)
    same_page = {"host": host, "origin": f"http://{host}"} if host else {"host": host}
    response = send(client, "POST", PATH, json=CHAT, headers=same_page)
    assert response.status_code == (200 if is_known else 403)
    if not is_known:
        assert code_of(response) == "403 host_not_allowed"
        assert "--cors-origin" in response.json()["error"]["message"]
        assert send(client, "GET", "/health", headers={"host": host}).status_code == 403


@pytest.mark.parametrize("bound", ["0.0.0.0", "::", "192.168.0.7", "nas.local"])
@pytest.mark.parametrize("host", ["192.168.0.7:8000", "nas.local", "nas", "a.example", "localhost"])
def test_a_server_of_a_network_has_whatever_names_people_give_it(
    client_for: ClientFactory, bound: str, host: str
) -> None:
    client = client_for(host=bound)
    for headers in ({"host": host}, {"host": host, "origin": f"http://{host}"}):
        assert send(client, "POST", PATH, json=CHAT, headers=headers).status_code == 200


def test_a_proxy_on_this_machine_is_named(client_for: ClientFactory) -> None:
    client = client_for(host="127.0.0.1", cors_origins=("https://chat.example",))
    assert send(client, "GET", "/stats", headers={"host": "chat.example"}).status_code == 200
    assert send(client, "GET", "/stats", headers={"host": "a.example"}).status_code == 403
    anybody = client_for(host="127.0.0.1", cors_origins=("*",))
    assert send(anybody, "GET", "/stats", headers={"host": "a.example"}).status_code == 200


def test_a_unix_socket_has_no_names(client_for: ClientFactory) -> None:
    client = client_for(host="127.0.0.1", uds="some/socket")
    assert send(client, "GET", "/stats", headers={"host": "a.example"}).status_code == 200


def test_loopback() -> None:
    assert all(map(is_loopback, ("localhost", "127.0.0.1", "127.1.2.3", "::1", "a.localhost")))
    assert not any(map(is_loopback, ("", "0.0.0.0", "::", "10.0.0.1", "localhost.example", "127.0.0.1.x")))
