from __future__ import annotations

from typing import Any

import pytest

from api.config import ServerConfig
from api.serving.announcement import example

ASKS = """ -d '{"model": "model", "messages": [{"role": "user", "content": "Hello!"}]}'"""


@pytest.mark.parametrize(
    ("url", "settings", "begins"),
    [
        ("http://localhost:8000", {}, "curl http://localhost:8000/v1/chat/completions -H 'Content-Type: "),
        ("https://localhost:8000", {}, "curl -k https://localhost:8000/v1/chat/completions -H"),
        (
            "http+unix://a b",
            {"uds": "a b"},
            "curl --unix-socket 'a b' http://localhost/v1/chat/completions -H",
        ),
    ],
)
def test_the_command_fits_the_server(url: str, settings: dict[str, Any], begins: str) -> None:
    command = example(url, ServerConfig(**settings))
    assert command.startswith(begins)
    assert command.endswith(ASKS)
    assert "Authorization" not in command


@pytest.mark.parametrize("settings", [{"api_key_hashes": ("0" * 64,)}, {"api_key_file": "keys.toml"}])
def test_where_a_key_is_needed_the_command_has_its_place(settings: dict[str, Any]) -> None:
    command = example("http://localhost:8000", ServerConfig(**settings))
    assert "-H 'Authorization: Bearer YOUR_KEY'" in command
    assert "000000" not in command
