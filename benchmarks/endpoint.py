"""Where a load goes: any server that answers as OpenAI's does, by its base URL."""

from __future__ import annotations

import json
import ssl
import urllib.request
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

DEFAULT_PATH = "/v1"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A base URL in parts."""

    scheme: str
    host: str
    port: int
    path: str  # of the API, without a slash at its end
    tls: ssl.SSLContext | None
    api_key: str

    @classmethod
    def of(cls, url: str, api_key: str = "") -> Endpoint:
        """A URL without a path means ``/v1``. Raises ValueError for what is no HTTP URL."""
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"{url!r} is no URL; write it as http://localhost:8000")
        tls = ssl.create_default_context() if parts.scheme == "https" else None
        port = parts.port or (443 if tls else 80)
        path = parts.path.rstrip("/") or DEFAULT_PATH
        return cls(parts.scheme, parts.hostname, port, path, tls, api_key)

    @property
    def authority(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    def chat_request(self, body: dict[str, Any]) -> bytes:
        """A whole HTTP request, on a connection of its own."""
        payload = json.dumps(body).encode()
        head = [
            f"POST {self.path}/chat/completions HTTP/1.1",
            f"Host: {self.authority}",
            "Content-Type: application/json",
            f"Content-Length: {len(payload)}",
            "Connection: close",
            *(f"{name}: {value}" for name, value in self._authorization().items()),
        ]
        return "\r\n".join([*head, "", ""]).encode() + payload

    def first_model(self) -> str:
        """The first name that the server lists. Raises OSError or ValueError where it lists none."""
        url = f"{self.scheme}://{self.authority}{self.path}/models"
        request = urllib.request.Request(url, headers=self._authorization())
        with urllib.request.urlopen(request, timeout=30) as response:
            models = json.load(response).get("data")
        if not models:
            raise ValueError(f"{url} lists no model; name one with --model")
        return str(models[0]["id"])

    def _authorization(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.api_key}"} if self.api_key else {}
