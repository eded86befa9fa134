"""What a client may send to ``POST /v1/chat/completions``.

Strict: a boolean is no integer and a string is no number. ``null`` for an optional field means
absent. Fields that this server cannot honour are typed here too, so that a malformed value is
reported as such before ``protocol/unsupported_fields.py`` refuses the field itself.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag

MAX_STOP_STRINGS = 4
INT64_MIN, INT64_MAX = -(2**63), 2**63 - 1
INT32_MAX = 2**31 - 1

# Tags appear in pydantic's error locations; the brackets let ``validation.py`` drop them again.
STRING_TAG, LIST_TAG, OBJECT_TAG = "<string>", "<list>", "<object>"


def _string_or_list(value: object) -> str | None:
    if isinstance(value, str):
        return STRING_TAG
    return LIST_TAG if isinstance(value, list) else None


def _string_or_object(value: object) -> str | None:
    if isinstance(value, str):
        return STRING_TAG
    return OBJECT_TAG if isinstance(value, dict) else None


class _WireModel(BaseModel):
    model_config = ConfigDict(strict=True, extra="allow", allow_inf_nan=False)


class TextPart(_WireModel):
    type: Literal["text"]
    text: str


MessageContent = Annotated[
    Annotated[str, Tag(STRING_TAG)] | Annotated[list[TextPart], Tag(LIST_TAG)],
    Discriminator(
        _string_or_list,
        custom_error_type="union_type",
        custom_error_message="Input should be a string or a list of content parts",
    ),
]

StopString = Annotated[str, Field(min_length=1, max_length=4096)]

Stop = Annotated[
    Annotated[StopString, Tag(STRING_TAG)]
    | Annotated[list[StopString], Field(max_length=MAX_STOP_STRINGS), Tag(LIST_TAG)],
    Discriminator(
        _string_or_list,
        custom_error_type="union_type",
        custom_error_message="Input should be a string or a list of strings",
    ),
]

Choice = Annotated[
    Annotated[str, Tag(STRING_TAG)] | Annotated[dict[str, Any], Tag(OBJECT_TAG)],
    Discriminator(
        _string_or_object,
        custom_error_type="union_type",
        custom_error_message="Input should be a string or an object",
    ),
]


class Message(_WireModel):
    role: Literal["system", "developer", "user", "assistant", "tool", "function"]
    content: MessageContent | None = None
    name: str | None = None
    tool_calls: list[Any] | None = None
    function_call: dict[str, Any] | None = None
    audio: dict[str, Any] | None = None

    @property
    def text(self) -> str:
        if isinstance(self.content, str):
            return self.content
        return "".join(part.text for part in self.content or ())


class StreamOptions(_WireModel):
    include_usage: bool | None = None


class ResponseFormat(_WireModel):
    type: Literal["text", "json_object", "json_schema"]


class ChatCompletionRequest(_WireModel):
    # honoured
    model: str
    messages: Annotated[list[Message], Field(min_length=1)]
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    max_tokens: Annotated[int, Field(ge=1)] | None = None
    max_completion_tokens: Annotated[int, Field(ge=1)] | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    top_k: Annotated[int, Field(ge=-1, le=INT32_MAX)] | None = None
    min_p: Annotated[float, Field(ge=0, le=1)] | None = None
    seed: Annotated[int, Field(ge=INT64_MIN, le=INT64_MAX)] | None = None
    stop: Stop | None = None
    continue_final_message: bool | None = None

    # accepted; they cannot change the answer of a server that stores and bills nothing
    metadata: dict[str, Any] | None = None
    moderation: dict[str, Any] | None = None
    parallel_tool_calls: bool | None = None
    prompt_cache_key: str | None = None
    prompt_cache_options: dict[str, Any] | None = None
    prompt_cache_retention: str | None = None
    safety_identifier: str | None = None
    service_tier: str | None = None
    store: bool | None = None
    user: str | None = None

    # refused unless neutral
    audio: dict[str, Any] | None = None
    frequency_penalty: Annotated[float, Field(ge=-2, le=2)] | None = None
    function_call: Choice | None = None
    functions: list[dict[str, Any]] | None = None
    logit_bias: dict[str, Annotated[float, Field(ge=-100, le=100)]] | None = None
    logprobs: bool | None = None
    modalities: list[str] | None = None
    n: Annotated[int, Field(ge=1, le=128)] | None = None
    prediction: dict[str, Any] | None = None
    presence_penalty: Annotated[float, Field(ge=-2, le=2)] | None = None
    reasoning_effort: str | None = None
    response_format: ResponseFormat | None = None
    tool_choice: Choice | None = None
    tools: list[dict[str, Any]] | None = None
    top_logprobs: Annotated[int, Field(ge=0, le=20)] | None = None
    verbosity: str | None = None
    web_search_options: dict[str, Any] | None = None

    @property
    def answer_limit(self) -> int | None:
        """The newer of OpenAI's two names for it wins."""
        return self.max_tokens if self.max_completion_tokens is None else self.max_completion_tokens

    @property
    def stop_strings(self) -> tuple[str, ...]:
        if self.stop is None:
            return ()
        return (self.stop,) if isinstance(self.stop, str) else tuple(self.stop)

    @property
    def includes_usage(self) -> bool:
        return self.stream_options is not None and bool(self.stream_options.include_usage)
