"""Cuts the values of a log line."""

from __future__ import annotations

from api.shortening import cut_middle

_MAX_TEXT_CHARS = 2_000
_MAX_BODY_CHARS = 10_000


def shortened(value: object) -> object:
    """Texts, and whole bodies as text, lose their middle where they are longer; all else stays."""
    if isinstance(value, str):
        return cut_middle(value, _MAX_TEXT_CHARS)
    if isinstance(value, dict | list):
        text = repr(value)
        return value if len(text) <= _MAX_BODY_CHARS else cut_middle(text, _MAX_BODY_CHARS)
    return value
