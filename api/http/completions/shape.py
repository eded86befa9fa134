"""What a client may send to ``POST /v1/completions``."""

from __future__ import annotations

from typing import Annotated, cast

from pydantic import Discriminator, Field, Tag

from api.http.fields.generation_shape import MAX_CHOICES, GenerationFields
from api.http.fields.wire import STRING_TAG, TokenId

MAX_PROMPTS = 2048
DEFAULT_MAX_TOKENS = 16  # OpenAI's for this endpoint
MAX_TOP_LOGPROBS = 5

Tokens = Annotated[list[TokenId], Field(min_length=1)]


def _prompt_tag(value: object) -> str | None:
    if isinstance(value, str):
        return STRING_TAG
    if not isinstance(value, list):
        return None
    first = value[0] if value else ""
    if isinstance(first, list):
        return "<token lists>"
    return "<strings>" if isinstance(first, str) else "<tokens>"


Prompt = Annotated[
    Annotated[str, Tag(STRING_TAG)]
    | Annotated[list[str], Field(min_length=1, max_length=MAX_PROMPTS), Tag("<strings>")]
    | Annotated[list[TokenId], Field(min_length=1), Tag("<tokens>")]
    | Annotated[list[Tokens], Field(min_length=1, max_length=MAX_PROMPTS), Tag("<token lists>")],
    Discriminator(
        _prompt_tag,
        custom_error_type="union_type",
        custom_error_message="Input should be a string, a list of token ids, or a list of either",
    ),
]


class CompletionRequest(GenerationFields):
    prompt: Prompt | None  # null: an empty text
    max_tokens: Annotated[int, Field(ge=0)] | None = None
    best_of: Annotated[int, Field(ge=1, le=MAX_CHOICES)] | None = None
    echo: bool | None = None
    logprobs: Annotated[int, Field(ge=0, le=MAX_TOP_LOGPROBS)] | None = None
    suffix: str | None = None

    # local extensions
    add_special_tokens: bool | None = None
    max_completion_tokens: Annotated[int, Field(ge=0)] | None = None

    @property
    def prompts(self) -> tuple[str | tuple[int, ...], ...]:
        """One prompt, or several; a list of integers is one."""
        match self.prompt:
            case None:
                return ("",)
            case str() as text:
                return (text,)
            case [int(), *_]:
                return (tuple(cast("list[int]", self.prompt)),)
        several = cast("list[str] | list[list[int]]", self.prompt)
        return tuple(each if isinstance(each, str) else tuple(each) for each in several)

    @property
    def answer_limit(self) -> int | None:
        named = super().answer_limit if self.max_completion_tokens is None else self.max_completion_tokens
        if named is not None:
            return named
        return None if self.n_predict == -1 else DEFAULT_MAX_TOKENS

    @property
    def num_top_logprobs(self) -> int | None:
        return self.logprobs

    @property
    def num_prompt_logprobs(self) -> int | None:
        """As many as either use of them asks for."""
        wanted = (self.logprobs if self.echo else None, self.prompt_logprobs)
        return max((each for each in wanted if each is not None), default=None)
