"""The wire shapes of what clients receive; the description of the API is made from them."""

from __future__ import annotations

from typing import Literal, NotRequired

from typing_extensions import TypedDict  # pydantic reads typing's own from Python 3.12 on only


class ErrorBody(TypedDict):
    message: str
    type: str
    param: str | None
    code: str | None


class ErrorAnswer(TypedDict):
    error: ErrorBody


class PromptTokensDetails(TypedDict):
    cached_tokens: int


class CompletionTokensDetails(TypedDict):
    reasoning_tokens: int
    accepted_prediction_tokens: int
    rejected_prediction_tokens: int


class UsageObject(TypedDict):
    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: PromptTokensDetails
    completion_tokens_details: CompletionTokensDetails


class TopLogprob(TypedDict):
    token: str
    logprob: float
    bytes: list[int]


class ContentLogprob(TopLogprob):
    top_logprobs: list[TopLogprob]


class ChatLogprobs(TypedDict):
    content: list[ContentLogprob]
    refusal: None


class PromptLogprob(TypedDict):
    logprob: float
    rank: int
    decoded_token: str


PromptLogprobs = list[dict[str, PromptLogprob] | None]  # by token id; null: the first token


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


class AnswerHead(TypedDict):
    id: str
    created: int
    model: str
    system_fingerprint: str


class ChatCompletion(AnswerHead):
    object: Literal["chat.completion"]
    choices: list[ChatChoice]
    usage: UsageObject
    prompt_logprobs: NotRequired[PromptLogprobs]


class ChatCompletionChunk(AnswerHead):
    object: Literal["chat.completion.chunk"]
    choices: list[ChunkChoice]
    usage: NotRequired[UsageObject | None]


class TextLogprobs(TypedDict):
    tokens: list[str]
    token_logprobs: list[float | None]  # null: the first token of an echoed prompt, as below
    top_logprobs: list[dict[str, float] | None]
    text_offset: list[int]  # where each token begins in the choice's text, in characters


class TextChoice(TypedDict):
    index: int
    text: str
    logprobs: TextLogprobs | None
    finish_reason: str | None
    prompt_logprobs: NotRequired[PromptLogprobs]


class TextCompletion(AnswerHead):
    object: Literal["text_completion"]
    choices: list[TextChoice]
    usage: NotRequired[UsageObject | None]


class ModelObject(TypedDict):
    id: str
    object: Literal["model"]
    created: int
    owned_by: str
    context_length: int
    sampling_defaults: dict[str, float | int]


class ModelList(TypedDict):
    object: Literal["list"]
    data: list[ModelObject]


class TokenizeAnswer(TypedDict):
    tokens: list[int]
    count: int
    max_model_len: int  # tokens that a prompt and its answer share


class DetokenizeAnswer(TypedDict):
    prompt: str


class EndpointList(TypedDict):
    endpoints: list[str]


class HealthAnswer(TypedDict):
    status: Literal["loading", "ok", "draining", "dead"]
    detail: str
