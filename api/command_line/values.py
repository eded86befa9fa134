"""Values of command line options, from what a person types; argparse's error says what is wrong with it."""

from __future__ import annotations

import argparse
import re
from urllib.parse import urlsplit

from api.keys.key import hash_of

_UNIT_BYTES = {"": 1, "K": 1000, "M": 1000**2, "G": 1000**3, "T": 1000**4}
_UNIT_BYTES |= {"KI": 1024, "MI": 1024**2, "GI": 1024**3, "TI": 1024**4}
_SIZE = re.compile(r"(\d{1,18}(?:\.\d{1,18})?)\s*((?:[KMGT]I?)?)B?", re.IGNORECASE | re.ASCII)
_MAX_SIZE_BYTES = 10**18  # beyond what any machine has
_MAX_SHOWN_CHARS = 40


def parse_size(text: str) -> int:
    """Bytes of a size such as ``24MB``, ``8GB``, ``1.5GiB`` or ``1000``; at least 1."""
    match = _SIZE.fullmatch(text.strip())
    num_bytes = int(float(match[1]) * _UNIT_BYTES[match[2].upper()]) if match else 0
    if not 1 <= num_bytes <= _MAX_SIZE_BYTES:
        raise argparse.ArgumentTypeError(f"{shown(text)} is no size; write it as 24MB, 8GB or 1.5GiB")
    return num_bytes


def shown(text: str) -> str:
    """A value in a message about it, which stays one line whatever was typed."""
    return repr(text if len(text) <= _MAX_SHOWN_CHARS else f"{text[:_MAX_SHOWN_CHARS]}…")


def api_key(text: str) -> str:
    """Its hash: nothing that may be shown or logged has the key. Nor has the message about a wrong one."""
    if not re.fullmatch(r"[!-~]{1,512}", text, re.ASCII):
        raise argparse.ArgumentTypeError("a key is 1 to 512 visible ASCII characters without blanks")
    return hash_of(text)


def origin(text: str) -> str:
    parts = urlsplit(text.rstrip("/"))
    if text in ("*", "null") or (parts.scheme and parts.netloc and not (parts.path or parts.query)):
        return text.rstrip("/")
    raise argparse.ArgumentTypeError(
        f"{shown(text)} is no origin; write it as https://chat.example.com or http://10.0.0.7:3000"
    )


def root_path(text: str) -> str:
    if text and not re.fullmatch(r"(/[A-Za-z0-9._~-]+)+/?", text, re.ASCII):
        raise argparse.ArgumentTypeError(f"{shown(text)} is no path such as /llm")
    return text.rstrip("/")


def path(text: str) -> str:
    if not text.strip():
        raise argparse.ArgumentTypeError("an empty text is no path")
    return text


def positive_int(text: str) -> int:
    return _int_from(text, 1)


def non_negative_int(text: str) -> int:
    return _int_from(text, 0)


def port(text: str) -> int:
    port = non_negative_int(text)
    if port > 65535:
        raise argparse.ArgumentTypeError(f"{shown(text)} is no port; ports end at 65535")
    return port


def _int_from(text: str, minimum: int) -> int:
    if not re.fullmatch(r"\d{1,9}", text, re.ASCII) or int(text) < minimum:
        raise argparse.ArgumentTypeError(f"{shown(text)} is no whole number from {minimum} on")
    return int(text)


def seconds(text: str) -> float:
    if not re.fullmatch(r"\d{1,9}(\.\d{1,18})?|\.\d{1,18}", text, re.ASCII):
        raise argparse.ArgumentTypeError(f"{shown(text)} is no number from 0 on")
    return float(text)


def positive_float(text: str) -> float:
    value = seconds(text)
    if value == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not above 0")
    return value
