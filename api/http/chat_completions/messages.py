"""A chat's messages, from the wire to what the model's template takes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from api.errors import ContextLengthError, InvalidRequestError
from api.http.chat_completions.message_shapes import (
    AssistantMessage,
    FunctionMessage,
    Message,
    PlainMessage,
    ToolMessage,
    text_of,
)
from api.http.compatibility.field import refuse_fields
from api.http.compatibility.objects import OBJECTS


def check_num_messages(data: object, context_length: int) -> None:
    """Raises ContextLengthError for more messages than the context has tokens, before they are checked."""
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
    last_calls: dict[str, str] = {}  # each function's, by its id
    return tuple(_convert(message, index, last_calls) for index, message in enumerate(messages))


def _convert(message: Message, index: int, last_calls: dict[str, str]) -> dict[str, Any]:
    match message:
        case AssistantMessage():
            return _convert_assistant(message, index, last_calls)
        case ToolMessage():
            return _tool_message(text_of(message.content), message.tool_call_id, message.name or None)
        case FunctionMessage():
            # A function's result names no call: it belongs to the latest one of its function.
            call_id = last_calls.get(message.name, "call00000")
            return _tool_message(message.content or "", call_id, message.name)
        case PlainMessage():
            refuse_fields(message, OBJECTS[f"{message.role} message"], f"messages[{index}].")
            plain = {"role": message.role, "content": text_of(message.content)}
            return plain if message.name is None else plain | {"name": message.name}
    raise AssertionError(message.role)  # the schema lets no other class through


def _convert_assistant(message: AssistantMessage, index: int, last_calls: dict[str, str]) -> dict[str, Any]:
    path = f"messages[{index}]"
    refuse_fields(message, OBJECTS["assistant message"], f"{path}.")
    calls = _calls_of(message, index)
    for call in calls:
        last_calls[call["function"]["name"]] = call["id"]
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
