"""Looks whether a prompt has the text of every message: a template may drop what it was not written for."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from api.text.control_tokens import THINK_MARKERS
from api.text.message_folding import INSTRUCTION_ROLES

Message = Mapping[str, Any]

_WORD = re.compile(r"\w+")
_NUM_WORDS = 8  # that stand for a text which the template has changed


def first_dropped(
    messages: Sequence[Message],
    prompt: str,
    mentions: Callable[[str], bool],
    thinking: tuple[str, str] | None = None,
) -> int | None:
    """Returns the index of the first message whose text the prompt does not have.

    Texts count as shown trimmed, or as JSON writes them, or where most of their words are there:
    templates may take switches out of a text, words that their source ``mentions``. Reasoning is not
    looked for, neither between the two markers of ``thinking`` nor between the usual ones.
    """
    search = _Search(prompt, mentions)
    markers = THINK_MARKERS if thinking is None else (*THINK_MARKERS, thinking)
    for index, message in enumerate(messages):
        role = message.get("role", "")
        content = message.get("content") or ""
        if role == "assistant":
            content = _without_reasoning(content, markers)
        names = [call["function"]["name"] for call in message.get("tool_calls") or ()]
        if not all(name in prompt for name in names) or not search.finds(content, role):
            return index
    return None


def _without_reasoning(content: str, markers: Sequence[tuple[str, str]]) -> str:
    """What follows the last block: templates cut the reasoning of earlier turns, each in its own way."""
    for begin, end in markers:
        content = content.rpartition(end)[2].partition(begin)[0]
    return content


def _as_json(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)[1:-1]


def _as_ascii_json(text: str) -> str:
    return json.dumps(text)[1:-1]


_FORMS: tuple[Callable[[str], str], ...] = (str, _as_json, _as_ascii_json)
"""How a template may write a text."""


class _Search:
    """Goes through a prompt from its beginning, as templates write messages in their order.

    A text that is not found behind the one before it is looked for anywhere.
    """

    def __init__(self, prompt: str, mentions: Callable[[str], bool]) -> None:
        self._prompt = prompt
        self._mentions = mentions
        self._position = 0
        self._last_form: dict[str, Callable[[str], str]] = {}  # by role
        self._num_texts: dict[str, int] = {}
        self._prompt_words: frozenset[str] | None = None

    def finds(self, content: str, role: str) -> bool:
        text = content.strip()
        if not text:
            return True
        self._num_texts[text] = self._num_texts.get(text, 0) + 1
        if self._is_ahead(text, role):
            return True
        num_shown = max(self._prompt.count(write(text)) for write in _FORMS)
        return num_shown >= self._num_texts[text] if num_shown else self._has_most_words(text)

    def _is_ahead(self, text: str, role: str) -> bool:
        for write in dict.fromkeys((self._last_form.get(role, _FORMS[0]), *_FORMS)):
            form = write(text)
            start = self._prompt.find(form, self._position)
            if start >= 0:
                self._last_form[role] = write
                if role not in INSTRUCTION_ROLES:  # which some templates write elsewhere
                    self._position = start + len(form)
                return True
        return False

    def _has_most_words(self, text: str) -> bool:
        """Long words count more: the short ones are in any prompt."""
        if self._prompt_words is None:
            self._prompt_words = frozenset(_WORD.findall(self._prompt))
        words = sorted(set(_WORD.findall(text)), key=len, reverse=True)[:_NUM_WORDS]
        shown = [word for word in words if word in self._prompt_words or self._mentions(word)]
        return sum(map(len, shown)) * 2 > sum(map(len, words))
