"""How much text a prompt brings, before anything is rendered or tokenised."""

from __future__ import annotations

from typing import Any

from api.types import ChatPrompt, TextPrompts

_MAX_BYTES_PER_CHAR = 4  # in UTF-8
# What templates certainly write; an assistant's text may lose its thoughts.
_WRITTEN_ROLES = frozenset({"system", "developer", "user", "tool"})


def num_chars(prompt: ChatPrompt | TextPrompts) -> int:
    """Returns the characters of all texts, a number counting as one: what is to be read, about."""
    if isinstance(prompt, TextPrompts):
        return sum(map(len, prompt.prompts))
    tools = prompt.tool_use.tools if prompt.tool_use is not None else ()
    return _num_chars_within([*prompt.messages, *tools, prompt.template_options])


def exceeds(prompt: ChatPrompt | TextPrompts, max_bytes: int) -> bool:
    """Tells whether a prompt's texts have more bytes than that."""
    if isinstance(prompt, TextPrompts):
        return any(isinstance(each, str) and _has_more([each], max_bytes) for each in prompt.prompts)
    contents = (each.get("content") for each in prompt.messages if each.get("role") in _WRITTEN_ROLES)
    return _has_more([text for text in contents if isinstance(text, str)], max_bytes)


def _has_more(texts: list[str], max_bytes: int) -> bool:
    if _MAX_BYTES_PER_CHAR * sum(map(len, texts)) <= max_bytes:
        return False
    return sum(len(text.strip().encode("utf-8", "surrogatepass")) for text in texts) > max_bytes


def _num_chars_within(values: list[Any]) -> int:
    total, pending = 0, values
    while pending:
        value = pending.pop()
        if isinstance(value, str):
            total += len(value)
        elif isinstance(value, dict):
            pending += [*value.keys(), *value.values()]
        elif isinstance(value, (list, tuple)):
            pending += value
        else:
            total += 1
    return total
