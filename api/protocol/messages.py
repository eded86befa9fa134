"""A chat's messages, from the wire to what the model's template reads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from api.errors import ContextLengthError, InvalidRequestError
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


def check_num_messages(data: object, context_length: int) -> None:
    """Raises ContextLengthError for more messages than the context has tokens, before they are read."""
    messages = data.get("messages") if isinstance(data, dict) else None
    if isinstance(messages, list) and len(messages) > context_length:
        raise ContextLengthError(
            f"The chat has {len(messages)} messages; the model's context is {context_length} tokens.",
            param="messages",
        )


def to_template_messages(messages: Sequence[Message]) -> tuple[dict[str, Any], ...]:
    """Returns plain dicts whose ``content`` is a string or None.

    ``function`` messages and ``function_call`` become tool messages and ``tool_calls``: templates know
    no others. Raises InvalidRequestError for an assistant's message that says nothing.
    """
    calls = _Calls()
    return tuple(_convert(message, index, calls) for index, message in enumerate(messages))


@dataclass(slots=True)
class _Calls:
    """The calls so far, by which results are told what they answer."""

    names_by_id: dict[str, str] = field(default_factory=dict)
    last_ids_by_name: dict[str, str] = field(default_factory=dict)

    def add(self, call_id: str, name: str) -> None:
        self.names_by_id[call_id] = name
        self.last_ids_by_name[name] = call_id

    def last_id_of(self, name: str) -> str:
        """A function's result names no call: it belongs to the latest one of its function."""
        return self.last_ids_by_name.get(name, "call00000")


def _convert(message: Message, index: int, calls: _Calls) -> dict[str, Any]:
    match message:
        case AssistantMessage():
            return _convert_assistant(message, index, calls)
        case ToolMessage():
            name = message.name or calls.names_by_id.get(message.tool_call_id)
            return _tool_message(text_of(message.content), message.tool_call_id, name)
        case FunctionMessage():
            return _tool_message(message.content or "", calls.last_id_of(message.name), message.name)
        case PlainMessage():
            refuse_fields(message, OBJECTS[f"{message.role} message"], f"messages[{index}].")
            plain = {"role": message.role, "content": text_of(message.content)}
            return plain if message.name is None else plain | {"name": message.name}
    raise AssertionError(message.role)  # the schema lets no other class through


def _convert_assistant(message: AssistantMessage, index: int, earlier: _Calls) -> dict[str, Any]:
    path = f"messages[{index}]"
    refuse_fields(message, OBJECTS["assistant message"], f"{path}.")
    calls = _calls_of(message, index)
    for call in calls:
        earlier.add(call["id"], call["function"]["name"])
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


def _tool_message(content: str | None, call_id: str, name: str | None) -> dict[str, Any]:
    plain = {"role": "tool", "content": content, "tool_call_id": call_id}
    return plain if name is None else plain | {"name": name}
