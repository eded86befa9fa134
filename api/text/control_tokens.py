"""Names of control tokens in what clients send are text, and no tokens.

A name is cut behind its first character by a character that no text can have, a lone surrogate. So a
template may still trim, split and search what it is given, and wherever the name ends up in the prompt
it is cut: the prompt is tokenised in the pieces between the cuts, and no piece has the name.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator
from typing import Any

CUT = "\udc00"
THINK_MARKERS = (("<think>", "</think>"), ("[THINK]", "[/THINK]"))
"""What templates may write around reasoning though the vocabulary does not have it as tokens."""

_NEVER = "(?!)"
_BLANK = " \u2581\t\r\n"


class ControlTokens:
    """Finds and cuts the names of a tokenizer's control tokens."""

    def __init__(self, names: Collection[str], answer_markers: Collection[str] = ()) -> None:
        """``answer_markers`` stay whole in the assistant's text, which templates split at them."""
        self._in_text = _begins_of(names)
        self._in_answers = _begins_of(set(names) - set(answer_markers))

    def are_in(self, value: Any) -> bool:
        """Tells whether any string in it has the name of a control token."""
        return any(self._in_text.search(text) for text in _strings(value))

    def cut(self, value: Any) -> Any:
        """Returns a copy in which every name is cut. Raises UnicodeError where there are cuts already."""
        return _mapped(value, self._in_text)

    def cut_message(self, message: dict[str, Any]) -> dict[str, Any]:
        """Cuts a chat's message, whose role is the server's own word."""
        is_answer = message["role"] == "assistant"
        content = _mapped(message["content"], self._in_answers if is_answer else self._in_text)
        rest = {name: value for name, value in message.items() if name not in ("role", "content")}
        return {**self.cut(rest), "role": message["role"], "content": content}


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, each in value.items():
            yield from _strings(key)
            yield from _strings(each)
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _strings(each)


def _mapped(value: Any, begins: re.Pattern[str]) -> Any:
    if isinstance(value, str):
        if CUT in value:
            raise UnicodeError("lone surrogate")
        return begins.sub(rf"\g<0>{CUT}", value)
    if isinstance(value, dict):
        return {_mapped(key, begins): _mapped(each, begins) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_mapped(each, begins) for each in value]
    return value


def _begins_of(names: Iterable[str]) -> re.Pattern[str]:
    """Matches the first character of every name, also of one that begins within another."""
    rests: defaultdict[str, set[str]] = defaultdict(set)
    for name in names:
        if len(name) > 1:  # nothing to cut in a single character
            rests[name[0]].add(name[1:])
    parts = [f"{re.escape(first)}(?={_one_of(rests[first])})" for first in sorted(rests)]
    return re.compile("|".join(parts) or _NEVER)


def _one_of(words: set[str]) -> str:
    """Returns an expression for what begins with one of the words, as a tree: thousands take no time."""
    if "" in words:
        return ""
    groups: defaultdict[str, set[str]] = defaultdict(set)
    for word in words:
        groups[word[0]].add(word)
    branches = []
    for first in sorted(groups):
        prefix = _common_beginning(groups[first])
        branches.append(re.escape(prefix) + _one_of({word[len(prefix) :] for word in groups[first]}))
    return branches[0] if len(branches) == 1 else f"(?:{'|'.join(branches)})"


def _common_beginning(words: set[str]) -> str:
    first, last = min(words), max(words)
    length = next((i for i, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), len(first))
    return first[:length]


def find_control_tokens(
    added_tokens: Iterable[tuple[str, bool]],
    markers: Iterable[str],
    thinking: tuple[str, str],
    template: str,
) -> ControlTokens:
    """Returns the tokens that steer a model.

    ``added_tokens`` are names and whether they are marked as special. Of the others, those count that
    the template or the model's formats use as ``markers``, or that look like ``<|name|>``; the rest, such
    as HTML tags or spaces, are text that got a token of its own. ``thinking`` begins and ends a reasoning.
    """
    spelled = {marker for pair in THINK_MARKERS for marker in pair}
    used = {*markers, *thinking}
    names = {
        name
        for name, is_special in added_tokens
        if name.strip(_BLANK)
        and (is_special or name in used or _looks_like_control(name) or _is_marker_of(template, name))
    }
    names |= {marker for marker in thinking if marker} | {marker for marker in spelled if marker in template}
    begin, end = thinking
    answer_markers = spelled | {name for name in names if name == end or begin.startswith(name)}
    return ControlTokens(names, answer_markers)


def _looks_like_control(name: str) -> bool:
    return len(name) > 4 and name[:2] in ("<|", "<\uff5c") and name[-2:] in ("|>", "\uff5c>")


def _is_marker_of(template: str, name: str) -> bool:
    return not name[0].isalnum() and not name[-1].isalnum() and name in template
