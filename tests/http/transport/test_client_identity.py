from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest
from starlette.requests import Request
from structlog.testing import capture_logs

from api.config import ServerConfig
from api.http.transport.client_identity import cache_salt_of, client_id_of
from api.keys.key import ApiKey, KeyLimits
from api.keys.key_ring import Tenant
from api.keys.meter import Meter
from app import create_app
from tests.fakes.server_handler import FakeServerHandler
from tests.http.conftest import ClientFactory

SECRET = b"secret"
KEY = "sk-0123456789"
CHAT = {"model": "tiny", "messages": [{"role": "user", "content": "hi"}]}


def request_of(headers: dict[str, str] | None = None, address: str | None = "10.0.0.1") -> Request:
    raw = [(name.lower().encode(), value.encode("latin-1")) for name, value in (headers or {}).items()]
    peer = None if address is None else (address, 1234)
    return Request({"type": "http", "headers": raw, "client": peer})


def client_id(headers: dict[str, str] | None = None, address: str | None = "10.0.0.1") -> str:
    return client_id_of(request_of(headers, address), SECRET)


def salt(key: str = "", own_salt: str = "", *, address: str = "10.0.0.1", shares: bool = False) -> str:
    headers = {"authorization": f"Bearer {key}"} if key else {}
    return cache_salt_of(request_of(headers, address), own_salt, shares=shares)


def test_a_client_is_its_key_wherever_it_puts_it() -> None:
    forms = [{"Authorization": f"Bearer {KEY}"}, {"authorization": f"bearer  {KEY} "}]
    forms += [{"api-key": KEY}, {"x-api-key": KEY}, {"authorization": KEY}]
    assert len({client_id(form) for form in forms}) == 1
    assert client_id({"api-key": KEY}) != client_id({"api-key": KEY + "x"})
    assert client_id({"authorization": f"Bearer {KEY}", "api-key": "other"}) == client_id({"api-key": KEY})


def test_clients_behind_one_address_differ_by_key_and_those_of_one_placeholder_by_address() -> None:
    placeholder = {"authorization": "Bearer none"}
    ids = [client_id(headers) for headers in (placeholder, {"api-key": KEY}, None)]
    ids += [client_id(headers, "::1") for headers in (placeholder, {"api-key": KEY}, None)]
    assert len(set(ids)) == 6


@pytest.mark.parametrize("value", ["", "   "])
def test_an_empty_key_is_none(value: str) -> None:
    assert client_id({"authorization": value, "api-key": value}) == client_id()


def test_odd_connections_are_somebody_too() -> None:
    assert client_id(address=None)  # a unix socket
    assert client_id({"authorization": "Bearer \xff"}) != client_id()


def test_kept_prompts_are_found_by_the_same_key_from_anywhere() -> None:
    assert salt(KEY) == salt(KEY, address="::1")
    assert salt() == salt(address="::1") == ""
    ids = {salt(key, own) for key in ("", "none", "EMPTY", KEY, KEY + "x") for own in ("", "a", "b")}
    assert len(ids) == 15
    assert not any(KEY in each for each in ids)


def test_a_salt_of_ones_own_never_gives_that_of_somebody_elses_key() -> None:
    assert salt("", salt(KEY)) != salt(KEY) and salt("", salt(KEY)[:-1]) != salt(KEY)
    assert salt("other", salt(KEY)) != salt(KEY)


def test_the_salt_of_a_key_is_the_same_in_every_process_and_after_a_restart() -> None:
    assert salt("sk-1") == ("8881c80e58a887adb8e1c0641fd87aed6a23c2534f4e5dfb5e4b064e94ca11d8:")


def test_where_keys_are_checked_they_alone_say_who_it_is() -> None:
    def request(name: str, hash: str, address: str, **headers: str) -> Request:
        found = request_of(headers, address)
        found.scope["state"] = {"tenant": Tenant(ApiKey(name, hash), Meter(KeyLimits()))}
        return found

    ann = request("ann", "a1", "10.0.0.1", authorization="Bearer x")
    elsewhere = request("ann", "a1", "10.0.0.2", authorization="Basic y")
    bob = request("bob", "b1", "10.0.0.1", authorization="Bearer x")
    assert client_id_of(ann, SECRET) == client_id_of(elsewhere, SECRET) != client_id_of(bob, SECRET)
    salts = [cache_salt_of(each, "", shares=False) for each in (ann, elsewhere, bob)]
    assert salts[0] == salts[1] != salts[2]
    assert {cache_salt_of(each, "", shares=True) for each in (ann, bob)} == {""}


def test_an_operator_may_let_all_keys_share() -> None:
    assert salt(KEY, shares=True) == salt(shares=True) == salt()
    assert salt(KEY, "a", shares=True) == salt("", "a")


@pytest.mark.parametrize(("shares", "num_salts"), [(False, 3), (True, 1)])
def test_each_key_has_its_own_kept_prompts_unless_the_operator_says_otherwise(
    client_for: ClientFactory, handler: FakeServerHandler, shares: bool, num_salts: int
) -> None:
    client = client_for(share_prefix_cache=shares)
    for headers in ({}, {"authorization": "Bearer EMPTY"}, {"api-key": KEY}, {"x-api-key": KEY}):
        post(client, "/v1/chat/completions", CHAT, **headers)
        post(client, "/v1/completions", {"model": "tiny", "prompt": "hi", "stream": True}, **headers)
    assert len({request.cache_salt for request in handler.requests}) == num_salts
    assert KEY not in repr(handler.requests)


def post(client: httpx.AsyncClient, path: str, body: dict[str, Any], **headers: str) -> None:
    assert asyncio.run(client.post(path, json=body, headers=headers)).status_code == 200


@pytest.mark.parametrize("stream", [False, True])
def test_both_dialects_hand_it_to_the_engine_and_nobody_sees_the_key(
    client_for: ClientFactory, handler: FakeServerHandler, stream: bool
) -> None:
    client = client_for(verbose=True)
    with capture_logs() as lines:
        post(client, "/v1/chat/completions", CHAT | {"stream": stream}, authorization=f"Bearer {KEY}")
        post(client, "/v1/completions", {"model": "tiny", "prompt": "hi", "user": "u"}, **{"x-api-key": KEY})
        post(client, "/v1/completions", {"model": "tiny", "prompt": "hi", "user": "v"})
    first, second, third = [request.client_id for request in handler.requests]
    assert first == second != third
    assert third
    assert KEY not in repr((handler.requests, lines))
    assert first not in repr(lines)


def test_each_process_has_a_secret_of_its_own() -> None:
    handler = FakeServerHandler()
    for _ in range(2):
        app = create_app(ServerConfig(), handler.typed)
        client = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test")
        post(client, "/v1/chat/completions", CHAT)
    assert handler.requests[0].client_id != handler.requests[1].client_id
