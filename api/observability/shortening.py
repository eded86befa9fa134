"""Cuts values that somebody else decides the length of, before they are put into a log line."""

from __future__ import annotations

_MAX_CHARS = 10_000


def shortened(value: object, max_chars: int = _MAX_CHARS) -> object:
    """Texts, and whole bodies as text, lose their middle where they are longer; all else stays."""
    if isinstance(value, str):
        return cut_middle(value, max_chars)
    if isinstance(value, dict | list):
        text = repr(value)
        return value if len(text) <= max_chars else cut_middle(text, max_chars)
    return value


def cut_middle(text: str, max_chars: int) -> str:
    """Keeps beginning and end, which say more about a message than its middle."""
    if len(text) <= max_chars:
        return text
    head, tail = max_chars * 2 // 3, max_chars // 3
    return f"{text[:head]}… ({len(text) - head - tail} characters cut) …{text[len(text) - tail :]}"
