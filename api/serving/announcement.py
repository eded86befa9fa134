"""What a server that begins to serve tells whoever started it: a command that asks it something."""

from __future__ import annotations

import shlex

from api.config import ServerConfig

_BODY = '{"model": "model", "messages": [{"role": "user", "content": "Hello!"}]}'


def example(url: str, config: ServerConfig) -> str:
    """A command that works as it is, but for a key, which is not known here."""
    scheme = url.partition(":")[0].partition("+")[0]
    base = url if config.uds is None else f"--unix-socket {shlex.quote(config.uds)} {scheme}://localhost"
    key = " -H 'Authorization: Bearer YOUR_KEY'" if config.api_key_hashes or config.api_key_file else ""
    trust = " -k" if scheme == "https" else ""
    return f"curl{trust} {base}/v1/chat/completions -H 'Content-Type: application/json'{key} -d '{_BODY}'"
