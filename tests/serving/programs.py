"""What the tests of processes share."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import httpx

ROOT = Path(__file__).resolve().parent.parent.parent
BODY = {"model": "model", "messages": [{"role": "user", "content": "hi"}], "stream": True}

Start = Callable[..., tuple["subprocess.Popen[str]", str]]


def worker_name(url: str) -> str:
    """Waits in the socket's backlog until a worker answers."""
    name: str = httpx.get(f"{url}/v1/models", timeout=20).json()["data"][0]["id"]
    return name


def is_replaced(url: str, before: str) -> bool:
    try:
        return worker_name(url) != before
    except httpx.TransportError:  # taken by the old worker just as it ended
        return False
