"""What a client receives from ``POST /v1/completions``."""

from __future__ import annotations

from typing import Literal, NotRequired

from typing_extensions import TypedDict  # pydantic takes typing's own from Python 3.12 on only

from api.http.fields.answer_shapes import AnswerHead, PromptLogprobs, UsageObject


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
