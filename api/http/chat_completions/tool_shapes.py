"""The functions that a model may call, in today's form and in the one that preceded it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag

from api.http.fields.wire import STRING_TAG, WireModel, unsupported

MAX_TOOLS = 128

_NO_CUSTOM = unsupported(("custom",), "the model calls functions only")
FunctionName = Annotated[str, Field(pattern=r"^[a-zA-Z0-9_.:-]+$", max_length=128)]


class FunctionDefinition(WireModel):
    name: FunctionName
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class Tool(WireModel):
    type: Annotated[Literal["function"], _NO_CUSTOM]
    function: FunctionDefinition


class FunctionReference(WireModel):
    name: str


class NamedTool(WireModel):
    type: Annotated[Literal["function"], _NO_CUSTOM]
    function: FunctionReference


class AllowedTools(WireModel):
    mode: Literal["auto", "required"]
    tools: Annotated[list[NamedTool], Field(min_length=1)]


class AllowedToolsChoice(WireModel):
    type: Literal["allowed_tools"]
    allowed_tools: AllowedTools


def _choice_tag(value: object) -> str | None:
    if isinstance(value, str):
        return STRING_TAG
    if not isinstance(value, dict):
        return None
    return "<allowed>" if value.get("type") == "allowed_tools" else "<named>"


def _choice_of(message: str) -> Discriminator:
    return Discriminator(_choice_tag, custom_error_type="union_type", custom_error_message=message)


ToolChoice = Annotated[
    Annotated[Literal["none", "auto", "required"], Tag(STRING_TAG)]
    | Annotated[NamedTool, Tag("<named>")]
    | Annotated[AllowedToolsChoice, Tag("<allowed>")],
    _choice_of("Input should be a string or an object"),
]
FunctionChoice = Annotated[
    Annotated[Literal["none", "auto"], Tag(STRING_TAG)] | Annotated[FunctionReference, Tag("<named>")],
    _choice_of("Input should be a string or an object with a name"),
]
