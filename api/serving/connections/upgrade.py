"""Offers of another protocol (``Upgrade: h2c``), none of which is taken.

The parser treats what follows such a request's head as the other protocol, so the head is made anew
without the offer and parsed again: an offer that is not taken changes nothing (RFC 9110, 7.8).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

Header = tuple[bytes, bytes]

_OFFER = (b"upgrade", b"http2-settings")


def head_without_offer(method: str, target: bytes, http_version: str, headers: Iterable[Header]) -> bytes:
    """The request's head as the client would have sent it without the offer; names are in lower case."""
    lines = [f"{method} ".encode() + target + f" HTTP/{http_version}".encode()]
    lines += [name + b": " + value for name, value in _kept(headers)]
    return b"\r\n".join([*lines, b"", b""])


def _kept(headers: Iterable[Header]) -> Iterator[Header]:
    for name, value in headers:
        if name == b"connection":
            value = _without_offer(value)
            if not value:
                continue
        if name not in _OFFER:
            yield name, value


def _without_offer(options: bytes) -> bytes:
    kept = [each.strip() for each in options.split(b",") if each.strip().lower() not in _OFFER]
    return b", ".join(kept)
