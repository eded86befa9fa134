"""The fields of both dialects that say how an answer is drawn, where it ends and how it is sent."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, Tag

from api.schemas.structures import StructureFields
from api.schemas.wire import (
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

StopString = Annotated[str, Field(min_length=1, max_length=4096)]
Stop = Annotated[
    Annotated[StopString, Tag(STRING_TAG)]
    | Annotated[list[StopString], Field(max_length=MAX_STOP_STRINGS), Tag(LIST_TAG)],
    by_json_type("a string or a list of strings"),
]
Penalty = Annotated[float, Field(ge=-2, le=2)]
RepetitionPenalty = Annotated[float, Field(ge=0.01, le=100)]
Bias = Annotated[float, Field(ge=-100, le=100)]
TokenIdText = Annotated[str, Field(pattern=r"^(0|[1-9][0-9]{0,9})$")]
PositiveInt = Annotated[int, Field(ge=1)]
CacheSalt = Annotated[str, Field(min_length=1, max_length=1024)]


class StreamOptions(WireModel):
    include_usage: bool | None = None
    include_obfuscation: bool | None = None


class RefusedExtensions(WireModel):
    """What other local servers do to the sampling; typed, so that their neutral values are told apart."""

    allowed_token_ids: list[int] | None = None
    bad_words: list[str] | None = None
    dry_multiplier: float | None = None
    length_penalty: float | None = None
    mirostat: int | None = None
    prompt_logprobs: int | None = None
    typical_p: float | None = None
    use_beam_search: bool | None = None
    xtc_probability: float | None = None


class GenerationFields(StructureFields, RefusedExtensions):
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
    logit_bias: Annotated[dict[TokenIdText, Bias], InPortions] | None = None
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

    # local extensions: the queue and the prefix cache
    priority: Annotated[int, Field(ge=INT64_MIN, le=INT64_MAX)] | None = None
    cache_salt: CacheSalt | None = None
    extra_key: CacheSalt | None = None
    cache_prompt: bool | None = None
    id_slot: int | None = None
    n_cache_reuse: int | None = None

    @property
    def answer_limit(self) -> int | None:
        """Tokens of an answer at most; None leaves it to the server."""
        return self.max_tokens

    @property
    def num_top_logprobs(self) -> int | None:
        """None where no logprobs are wanted at all."""
        raise NotImplementedError

    @property
    def stop_strings(self) -> tuple[str, ...]:
        if self.stop is None:
            return ()
        return (self.stop,) if isinstance(self.stop, str) else tuple(self.stop)

    @property
    def includes_usage(self) -> bool:
        return self.stream_options is not None and bool(self.stream_options.include_usage)
