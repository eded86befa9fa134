"""Chats for templates that do not take every chat: what one would drop or refuse goes where it is shown.

* Instructions (system and developer messages) that may not stand where they are join the first one, or
  the next user message, or become a user message.
* Messages of one role in a row become one, where the roles must alternate.
* An assistant's message with text and calls, or with several calls, becomes several.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from api.text.template_probe import with_parts
from api.text.template_support import TemplateSupport

Message = dict[str, Any]
INSTRUCTION_ROLES = ("system", "developer")
_BETWEEN = "\n\n"


def fold_messages(messages: Sequence[Message], support: TemplateSupport) -> list[Message]:
    """Returns messages that suit the template; those given stay as they are."""
    folded = _with_instructions_placed(messages, support)
    folded = _with_calls_apart(folded, support)
    folded = _opened_by_user(folded, support)
    folded = _without_runs(folded, support)
    return [with_parts(message, support.content_parts) for message in folded]


def joined(*texts: str | None) -> str:
    return _BETWEEN.join(text for text in texts if text)


def _with_instructions_placed(messages: Iterable[Message], support: TemplateSupport) -> list[Message]:
    placed: list[Message] = []
    waiting: list[str] = []  # texts of instructions for the next user message
    for message in messages:
        role = message.get("role")
        if role in INSTRUCTION_ROLES:
            _place_instruction(message, placed, waiting, support)
            continue
        if waiting and role == "user":
            message = {**message, "content": joined(*waiting, message.get("content"))}
            waiting.clear()
        elif waiting and role != "tool":  # a call's results must follow it
            placed.append(_user_message(waiting))
            waiting.clear()
        placed.append(message)
    return [*placed, _user_message(waiting)] if waiting else placed


def _place_instruction(
    message: Message, placed: list[Message], waiting: list[str], support: TemplateSupport
) -> None:
    is_system = message["role"] == "system"
    takes_first = support.system if is_system else support.developer
    takes_late = support.late_system if is_system else support.late_developer
    if takes_first and (not placed or takes_late) and not waiting:
        placed.append(message)
    elif len(placed) == 1 and placed[0]["role"] in INSTRUCTION_ROLES:
        first = placed[0]
        placed[0] = {**first, "content": joined(first.get("content"), message.get("content"))}
    elif message.get("content"):
        waiting.append(message["content"])


def _user_message(texts: Iterable[str]) -> Message:
    return {"role": "user", "content": joined(*texts)}


def _opened_by_user(messages: list[Message], support: TemplateSupport) -> list[Message]:
    """Puts an empty user message before an assistant's that comes first."""
    num_leading = next(
        (i for i, message in enumerate(messages) if message.get("role") not in INSTRUCTION_ROLES), 0
    )
    if support.opening_answer or not messages or messages[num_leading].get("role") != "assistant":
        return messages
    return [*messages[:num_leading], _user_message([]), *messages[num_leading:]]


def _without_runs(messages: Iterable[Message], support: TemplateSupport) -> list[Message]:
    rows = {"user": support.user_runs, "assistant": support.assistant_runs}
    merged: list[Message] = []
    for message in messages:
        if merged and not rows.get(message["role"], True) and _can_join(merged[-1], message, support):
            merged[-1] = _joined_messages(merged[-1], message)
        else:
            merged.append(message)
    return merged


def _can_join(first: Message, second: Message, support: TemplateSupport) -> bool:
    if first["role"] != second["role"] or first.get("tool_calls"):
        return False
    return support.content_beside_calls or not second.get("tool_calls")


def _joined_messages(first: Message, second: Message) -> Message:
    both = {**first, **second, "content": joined(first.get("content"), second.get("content"))}
    if first.get("name") != second.get("name"):
        both.pop("name", None)
    return both


# --- calls ---------------------------------------------------------------------------------------


def _with_calls_apart(messages: Sequence[Message], support: TemplateSupport) -> list[Message]:
    apart: list[Message] = []
    start = 0
    while start < len(messages):
        message, end = messages[start], start + 1
        calls = message.get("tool_calls") or ()
        if calls and not support.content_beside_calls and support.assistant_runs:
            apart.extend(_text_before_calls(message))
            message = {**message, "content": ""}
        if len(calls) > 1 and not support.parallel_calls:
            while end < len(messages) and messages[end].get("role") == "tool":
                end += 1
            apart.extend(_one_call_each(message, messages[start + 1 : end]))
        else:
            apart.append(message)
        start = end
    return apart


def _text_before_calls(message: Message) -> Iterator[Message]:
    if message.get("content"):
        yield {key: message[key] for key in ("role", "content", "name") if key in message}


def _one_call_each(message: Message, results: Sequence[Message]) -> Iterator[Message]:
    """Yields each call with its results, whatever order the results came in."""
    by_id: dict[Any, list[Message]] = {}
    for result in results:
        by_id.setdefault(result.get("tool_call_id"), []).append(result)
    for index, call in enumerate(message["tool_calls"]):
        shown = message if index == 0 else {"role": message["role"], "content": ""}
        yield {**shown, "tool_calls": [call]}
        yield from by_id.pop(call.get("id"), ())
    for strays in by_id.values():
        yield from strays
