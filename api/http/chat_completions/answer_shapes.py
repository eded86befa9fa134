"""What a client receives from ``POST /v1/chat/completions``."""

from __future__ import annotations

from typing import Literal, NotRequired

from typing_extensions import TypedDict  # pydantic takes typing's own from Python 3.12 on only

from api.http.fields.answer_shapes import AnswerHead, PromptLogprobs, UsageObject


class TopLogprob(TypedDict):
    token: str
    logprob: float
    bytes: list[int]


class ContentLogprob(TopLogprob):
    top_logprobs: list[TopLogprob]


class ChatLogprobs(TypedDict):
    content: list[ContentLogprob]
    refusal: None


class CalledFunction(TypedDict):
    name: NotRequired[str]  # in a stream with a call's first piece only
    arguments: str


class ToolCallObject(TypedDict):
    index: NotRequired[int]  # in a stream only
    id: NotRequired[str]
    type: NotRequired[Literal["function"]]
    function: CalledFunction


class MessageObject(TypedDict):
    role: Literal["assistant"]
    content: str | None
    refusal: None
    reasoning_content: NotRequired[str]
    reasoning: NotRequired[str]
    tool_calls: NotRequired[list[ToolCallObject]]
    function_call: NotRequired[CalledFunction]


class Delta(TypedDict, total=False):
    role: Literal["assistant"]
    content: str
    refusal: None
    reasoning_content: str
    reasoning: str
    tool_calls: list[ToolCallObject]
    function_call: CalledFunction


class ChatChoice(TypedDict):
    index: int
    message: MessageObject
    logprobs: ChatLogprobs | None
    finish_reason: str


class ChunkChoice(TypedDict):
    index: int
    delta: Delta
    logprobs: ChatLogprobs | None
    finish_reason: str | None


class ChatCompletion(AnswerHead):
    object: Literal["chat.completion"]
    choices: list[ChatChoice]
    usage: UsageObject
    prompt_logprobs: NotRequired[PromptLogprobs]


class ChatCompletionChunk(AnswerHead):
    object: Literal["chat.completion.chunk"]
    choices: list[ChunkChoice]
    usage: NotRequired[UsageObject | None]
