from __future__ import annotations

import asyncio
from typing import Any

import httpx

from api.server_handler import Health
from tests.fakes.server_handler import FakeServerHandler


def post(client: httpx.AsyncClient, path: str, **fields: Any) -> httpx.Response:
    return asyncio.run(client.post(path, json=fields))


def test_texts_in_tokens_and_back(client: httpx.AsyncClient) -> None:
    answer = post(client, "/tokenize", prompt="hi", add_special_tokens=False).json()
    assert answer == {"tokens": [104, 105], "count": 2, "max_model_len": 4096}
    assert post(client, "/detokenize", tokens=answer["tokens"]).json() == {"prompt": "hi"}


def test_a_chat_in_tokens(client: httpx.AsyncClient) -> None:
    answer = post(client, "/tokenize", model="tiny", messages=[{"role": "user", "content": "hi"}])
    assert answer.json()["count"] == 2


def test_bad_bodies_name_their_field(client: httpx.AsyncClient, handler: FakeServerHandler) -> None:
    for path, fields, param in (
        ("/tokenize", {}, "prompt"),
        ("/tokenize", {"prompt": 5}, "prompt"),
        ("/detokenize", {"tokens": [1000]}, "tokens"),
    ):
        response = post(client, path, **fields)
        assert (response.status_code, response.json()["error"]["param"]) == (400, param)
    assert len(handler.refused_codes) == 3


def test_there_is_no_tokenizer_while_loading(client: httpx.AsyncClient, handler: FakeServerHandler) -> None:
    handler.health = Health("loading", "reading weights")
    assert post(client, "/tokenize", prompt="hi").status_code == 503
