"""Cuts what somebody else decides the length of, before it is put into a message or a log line."""

from __future__ import annotations

_MAX_TEXT_CHARS = 2_000
_MAX_BODY_CHARS = 10_000


def cut_middle(text: str, max_chars: int) -> str:
    """Keeps beginning and end, which say more about a message than its middle."""
    if len(text) <= max_chars:
        return text
    head, tail = max_chars * 2 // 3, max_chars // 3
    return f"{text[:head]}… ({len(text) - head - tail} characters cut) …{text[len(text) - tail :]}"


def cut_log_value(value: object) -> object:
    """Texts, and whole bodies as text, lose their middle where they are longer; all else stays."""
    if isinstance(value, str):
        return cut_middle(value, _MAX_TEXT_CHARS)
    if isinstance(value, dict | list):
        text = repr(value)
        return value if len(text) <= _MAX_BODY_CHARS else cut_middle(text, _MAX_BODY_CHARS)
    return value
