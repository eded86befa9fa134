"""The messages of a chat, role by role."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag
from pydantic.json_schema import SkipJsonSchema

from api.http.fields.wire import LIST_TAG, OBJECT_TAG, STRING_TAG, WireModel, by_json_type, unsupported

_MEDIA = ("image_url", "input_image", "input_audio", "audio_url", "video_url", "file", "input_file")


class TextPart(WireModel):
    type: Annotated[Literal["text"], unsupported(_MEDIA, "the model takes text only")]
    text: str
    prompt_cache_breakpoint: dict[str, Any] | None = None
    cache_control: dict[str, Any] | None = None


class RefusalPart(WireModel):
    type: Literal["refusal"]
    refusal: str


def _part_tag(value: object) -> str:
    is_refusal = isinstance(value, dict) and value.get("type") == "refusal"
    return "<refusal>" if is_refusal else "<text>"


AssistantPart = Annotated[
    Annotated[TextPart, Tag("<text>")] | Annotated[RefusalPart, Tag("<refusal>")], Discriminator(_part_tag)
]
_TEXT_OR_PARTS = by_json_type("a string or a list of content parts")
TextContent = Annotated[
    Annotated[str, Tag(STRING_TAG)] | Annotated[list[TextPart], Tag(LIST_TAG)], _TEXT_OR_PARTS
]
AssistantContent = Annotated[
    Annotated[str, Tag(STRING_TAG)] | Annotated[list[AssistantPart], Tag(LIST_TAG)], _TEXT_OR_PARTS
]


_JSON_TEXT_OR_OBJECT = by_json_type("a string of JSON or an object")


class FunctionCall(WireModel):
    """``arguments`` are JSON in a string; an object or none at all is what some clients send back."""

    name: Annotated[str, Field(min_length=1)]
    arguments: (
        Annotated[
            Annotated[str, Tag(STRING_TAG)] | Annotated[dict[str, Any], Tag(OBJECT_TAG)], _JSON_TEXT_OR_OBJECT
        ]
        | None
    ) = None


class ToolCall(WireModel):
    id: str
    type: Annotated[Literal["function"], unsupported(("custom",), "the model calls functions only")] = (
        "function"
    )
    function: FunctionCall


class Message(WireModel):
    """What a role that nobody knows is held against; the known ones have classes of their own."""

    role: Literal["system", "developer", "user", "assistant", "tool", "function"]


class PlainMessage(Message):
    role: Literal["system", "developer", "user"]
    content: TextContent
    name: str | None = None


class AssistantMessage(Message):
    role: Literal["assistant"]
    content: AssistantContent | None = None
    refusal: str | None = None
    name: str | None = None
    tool_calls: list[ToolCall] | None = None
    function_call: FunctionCall | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    audio: dict[str, Any] | None = None
    annotations: list[Any] | None = None
    prefix: bool | None = None
    partial: bool | None = None


class ToolMessage(Message):
    role: Literal["tool"]
    content: TextContent
    tool_call_id: str
    name: str | None = None


class FunctionMessage(Message):
    role: Literal["function"]
    content: str | None
    name: str


_ROLE_TAGS = {
    "system": "<plain>",
    "developer": "<plain>",
    "user": "<plain>",
    "assistant": "<assistant>",
    "tool": "<tool>",
    "function": "<function>",
}


def _role_tag(value: object) -> str:
    role = value.get("role") if isinstance(value, dict) else None
    return _ROLE_TAGS.get(role, "<unknown>") if isinstance(role, str) else "<unknown>"


AnyMessage = Annotated[
    Annotated[PlainMessage, Tag("<plain>")]
    | Annotated[AssistantMessage, Tag("<assistant>")]
    | Annotated[ToolMessage, Tag("<tool>")]
    | Annotated[FunctionMessage, Tag("<function>")]
    | Annotated[SkipJsonSchema[Message], Tag("<unknown>")],
    Discriminator(_role_tag),
]


def text_of(content: str | list[TextPart] | list[TextPart | RefusalPart] | None) -> str | None:
    """The parts' texts one after the other; a refusal is text too."""
    if content is None or isinstance(content, str):
        return content
    return "".join(part.text if isinstance(part, TextPart) else part.refusal for part in content)
