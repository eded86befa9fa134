"""The fields of both dialects that say how an answer is drawn, where it ends and how it is sent."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Discriminator, Field, Tag

from api.http.fields.structure_shapes import StructureFields
from api.http.fields.wire import (
    BOOLEAN_TAG,
    INT32_MAX,
    INT64_MAX,
    INT64_MIN,
    LIST_TAG,
    STRING_TAG,
    InPortions,
    TokenId,
    WireModel,
    by_json_type,
)

MAX_STOP_STRINGS = 4
MAX_STOP_TOKENS = 64
MAX_CHOICES = 128  # for each prompt
MAX_PROMPT_LOGPROBS = 20

StopString = Annotated[str, Field(min_length=1, max_length=4096)]
Stop = Annotated[
    Annotated[StopString, Tag(STRING_TAG)]
    | Annotated[list[StopString], Field(max_length=MAX_STOP_STRINGS), Tag(LIST_TAG)],
    by_json_type("a string or a list of strings"),
]
Penalty = Annotated[float, Field(ge=-2, le=2)]
RepetitionPenalty = Annotated[float, Field(ge=0.01, le=100)]
Bias = Annotated[
    Annotated[float, Field(ge=-100, le=100), Tag("<number>")] | Annotated[Literal[False], Tag(BOOLEAN_TAG)],
    Discriminator(lambda value: BOOLEAN_TAG if isinstance(value, bool) else "<number>"),
]  # false: the token never comes
TokenIdText = Annotated[str, Field(pattern=r"^(0|[1-9][0-9]{0,9})$")]


def _pairs_as_object(value: Any) -> Any:
    """llama.cpp's list of pairs, as OpenAI's object; what is neither is left to be refused."""
    if not isinstance(value, list) or not all(isinstance(each, list) and len(each) == 2 for each in value):
        return value
    return {str(token_id): bias for token_id, bias in value}


LogitBias = Annotated[dict[TokenIdText, Bias], InPortions, BeforeValidator(_pairs_as_object)]
PositiveInt = Annotated[int, Field(ge=1)]
CacheSalt = Annotated[str, Field(min_length=1, max_length=1024)]


class StreamOptions(WireModel):
    include_usage: bool | None = None
    include_obfuscation: bool | None = None
    continuous_usage_stats: bool | None = None


class UsageOptions(WireModel):
    include: bool | None = None


class GenerationFields(StructureFields):
    model: str
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    max_tokens: PositiveInt | None = None
    n: Annotated[int, Field(ge=1, le=MAX_CHOICES)] | None = None
    stop: Stop | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    top_p: Annotated[float, Field(ge=0, le=1)] | None = None
    frequency_penalty: Penalty | None = None
    presence_penalty: Penalty | None = None
    logit_bias: LogitBias | None = None
    seed: Annotated[int, Field(ge=INT64_MIN, le=INT64_MAX)] | None = None
    user: str | None = None

    # local extensions
    top_k: Annotated[int, Field(ge=-1, le=INT32_MAX)] | None = None
    min_p: Annotated[float, Field(ge=0, le=1)] | None = None
    repetition_penalty: RepetitionPenalty | None = None
    repeat_penalty: RepetitionPenalty | None = None
    stop_token_ids: Annotated[list[TokenId], Field(max_length=MAX_STOP_TOKENS)] | None = None
    min_tokens: Annotated[int, Field(ge=0)] | None = None
    ignore_eos: bool | None = None
    include_stop_str_in_output: bool | None = None

    # the same by other names
    max_new_tokens: PositiveInt | None = None
    n_predict: Annotated[int, Field(ge=-1)] | None = None  # -1: no limit
    min_new_tokens: Annotated[int, Field(ge=0)] | None = None
    no_stop_trim: bool | None = None
    usage: UsageOptions | None = None

    prompt_logprobs: Annotated[int, Field(ge=0, le=MAX_PROMPT_LOGPROBS)] | None = None

    # local extensions: the queue and the prefix cache
    priority: Annotated[int, Field(ge=INT64_MIN, le=INT64_MAX)] | None = None
    cache_salt: CacheSalt | None = None
    extra_key: CacheSalt | None = None
    prompt_cache_isolation_key: CacheSalt | None = None
    cache_prompt: bool | None = None
    id_slot: int | None = None
    n_cache_reuse: int | None = None

    @property
    def answer_limit(self) -> int | None:
        """Tokens of an answer at most; None leaves it to the server."""
        return next((limit for limit in self.limits.values() if limit is not None), None)

    @property
    def limits(self) -> dict[str, int | None]:
        """The answer's limit by each of its names."""
        n_predict = None if self.n_predict == -1 else self.n_predict
        return {
            "max_tokens": self.max_tokens,
            "max_new_tokens": self.max_new_tokens,
            "n_predict": n_predict,
        }

    @property
    def num_top_logprobs(self) -> int | None:
        """None where no logprobs are wanted at all."""
        raise NotImplementedError

    @property
    def num_prompt_logprobs(self) -> int | None:
        """The same for the tokens of the prompt."""
        return self.prompt_logprobs

    @property
    def stop_strings(self) -> tuple[str, ...]:
        if self.stop is None:
            return ()
        return (self.stop,) if isinstance(self.stop, str) else tuple(self.stop)

    @property
    def includes_usage(self) -> bool:
        options = (
            self.stream_options and self.stream_options.include_usage,
            self.usage and self.usage.include,
        )
        return any(options)
