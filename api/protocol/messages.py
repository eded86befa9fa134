"""A chat's messages, from the wire to what the model's template reads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from api.errors import InvalidRequestError
from api.protocol.compatibility.field import refuse_fields
from api.protocol.compatibility.objects import OBJECTS
from api.schemas.messages import (
    AssistantMessage,
    FunctionMessage,
    Message,
    PlainMessage,
    ToolMessage,
    text_of,
)


def to_template_messages(messages: Sequence[Message]) -> tuple[dict[str, Any], ...]:
    """Returns plain dicts whose ``content`` is a string or None.

    ``function`` messages and ``function_call`` become tool messages and ``tool_calls``: templates know
    no others. Raises InvalidRequestError for an assistant's message that says nothing.
    """
    names_by_id: dict[str, str] = {}
    return tuple(_convert(message, index, names_by_id) for index, message in enumerate(messages))


def _convert(message: Message, index: int, names_by_id: dict[str, str]) -> dict[str, Any]:
    match message:
        case AssistantMessage():
            return _convert_assistant(message, index, names_by_id)
        case ToolMessage():
            name = message.name or names_by_id.get(message.tool_call_id)
            return _tool_message(text_of(message.content), message.tool_call_id, name)
        case FunctionMessage():
            return _tool_message(message.content or "", _last_id_of(message.name, names_by_id), message.name)
        case PlainMessage():
            refuse_fields(message, OBJECTS[f"{message.role} message"], f"messages[{index}].")
            plain = {"role": message.role, "content": text_of(message.content)}
            return plain if message.name is None else plain | {"name": message.name}
    raise AssertionError(message.role)  # the schema lets no other class through


def _convert_assistant(message: AssistantMessage, index: int, names_by_id: dict[str, str]) -> dict[str, Any]:
    path = f"messages[{index}]"
    refuse_fields(message, OBJECTS["assistant message"], f"{path}.")
    calls = _calls_of(message, index)
    names_by_id |= {call["id"]: call["function"]["name"] for call in calls}
    content = text_of(message.content)
    content = message.refusal if content is None else content
    if content is None and not calls:
        raise InvalidRequestError(
            f"Missing required parameter: '{path}.content'.",
            param=f"{path}.content",
            code="missing_required_parameter",
        )
    plain = {
        "name": message.name,
        "tool_calls": calls or None,
        "reasoning_content": message.reasoning_content or message.reasoning,
    }
    present = {name: value for name, value in plain.items() if value}
    return {"role": "assistant", "content": content} | present


def _calls_of(message: AssistantMessage, index: int) -> list[dict[str, Any]]:
    calls = [(call.id, call.function) for call in message.tool_calls or ()]
    if message.function_call is not None:
        calls.append((f"call{index:05d}", message.function_call))  # nine letters: some templates insist
    return [
        {"id": call_id, "type": "function", "function": {"name": each.name, "arguments": each.arguments}}
        for call_id, each in calls
    ]


def _last_id_of(name: str, names_by_id: dict[str, str]) -> str:
    """A function's result names no call: it belongs to the latest one of its function."""
    matching = [call_id for call_id, called in names_by_id.items() if called == name]
    return matching[-1] if matching else "call00000"


def _tool_message(content: str | None, call_id: str, name: str | None) -> dict[str, Any]:
    plain = {"role": "tool", "content": content, "tool_call_id": call_id}
    return plain if name is None else plain | {"name": name}
