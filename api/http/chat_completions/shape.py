"""What a client may send to ``POST /v1/chat/completions``.

OpenAI's fields that this server cannot honour are typed here too, so that a malformed value is reported
as such before the field itself is refused; ``http/compatibility`` says which they are and why.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from api.http.chat_completions.message_shapes import AnyMessage, TextContent
from api.http.chat_completions.tool_shapes import (
    MAX_TOOLS,
    FunctionChoice,
    FunctionDefinition,
    Tool,
    ToolChoice,
)
from api.http.fields.generation_shape import GenerationFields, PositiveInt
from api.http.fields.reasoning_shapes import ReasoningFields
from api.http.fields.wire import InPortions, WireModel

MAX_TOP_LOGPROBS = 20

Messages = Annotated[list[AnyMessage], Field(min_length=1)]


class ChatPromptFields(ReasoningFields):
    """What besides the messages makes the prompt of a chat."""

    tools: Annotated[list[Tool], Field(max_length=MAX_TOOLS)] | None = None
    tool_choice: ToolChoice | None = None
    parallel_tool_calls: bool | None = None
    functions: Annotated[list[FunctionDefinition], Field(max_length=MAX_TOOLS)] | None = None
    function_call: FunctionChoice | None = None

    # local extensions
    chat_template_kwargs: dict[str, Any] | None = None
    add_generation_prompt: bool | None = None
    continue_final_message: bool | None = None


class Prediction(WireModel):
    """What the answer will be, mostly."""

    type: Literal["content"]
    content: TextContent


class ChatCompletionRequest(GenerationFields, ChatPromptFields):
    messages: Messages
    max_completion_tokens: PositiveInt | None = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, Field(ge=0, le=MAX_TOP_LOGPROBS)] | None = None
    prediction: Prediction | None = None

    # without effect
    metadata: Annotated[dict[str, str], InPortions] | None = None
    prompt_cache_key: str | None = None
    prompt_cache_options: dict[str, Any] | None = None
    prompt_cache_retention: str | None = None
    safety_identifier: str | None = None
    service_tier: str | None = None
    store: bool | None = None

    # refused unless neutral
    audio: dict[str, Any] | None = None
    modalities: list[str] | None = None
    moderation: dict[str, Any] | None = None
    verbosity: Literal["low", "medium", "high"] | None = None
    web_search_options: dict[str, Any] | None = None

    @property
    def answer_limit(self) -> int | None:
        """The newer of OpenAI's two names for it wins."""
        return super().answer_limit if self.max_completion_tokens is None else self.max_completion_tokens

    @property
    def num_top_logprobs(self) -> int | None:
        return (self.top_logprobs or 0) if self.logprobs else None

    @property
    def uses_functions(self) -> bool:
        """Calls are answered in the form that preceded ``tool_calls``."""
        return bool(self.functions)
