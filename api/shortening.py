"""Cuts texts that somebody else decides the length of, before they are put into a message or a log line."""

from __future__ import annotations


def cut_middle(text: str, max_chars: int) -> str:
    """Keeps beginning and end, which say more about a message than its middle."""
    if len(text) <= max_chars:
        return text
    head, tail = max_chars * 2 // 3, max_chars // 3
    return f"{text[:head]}… ({len(text) - head - tail} characters cut) …{text[len(text) - tail :]}"
