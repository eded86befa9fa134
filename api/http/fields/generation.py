"""What both dialects turn into a GenerationRequest in the same way: sampling, ends, and their limits."""

from __future__ import annotations

import math
import secrets
import time
from collections.abc import Iterable, Mapping

from api.errors import InvalidRequestError
from api.http.fields.generation_shape import GenerationFields
from api.http.fields.validation import one_of_names
from api.server_handler import ServedModel
from api.types import ChatPrompt, GenerationRequest, SamplingParams, Structure, TextPrompts, ToolUse

# Less is 0 in float32 sums over a vocabulary.
_SMALLEST_TOP_P = 1e-6


def to_request(
    body: GenerationFields,
    served: ServedModel,
    id_prefix: str,
    prompt: ChatPrompt | TextPrompts,
    structure: Structure | None,
) -> GenerationRequest:
    """Raises InvalidRequestError for fields that contradict each other and for unknown token ids."""
    one_of_names(body.limits)
    if body.stream and body.prompt_logprobs is not None:
        message = "'prompt_logprobs' come with a whole answer only, not with 'stream'."
        raise InvalidRequestError(message, param="prompt_logprobs")
    check_form(body, structure, prompt.tool_use if isinstance(prompt, ChatPrompt) else None)
    return GenerationRequest(
        request_id=f"{id_prefix}-{secrets.token_hex(16)}",
        prompt=prompt,
        sampling=to_sampling(body, served),
        num_choices=body.n or 1,
        max_tokens=body.answer_limit,
        stop=body.stop_strings,
        stop_token_ids=stop_token_ids(body, served),
        includes_stop=_includes_stop(body),
        ignores_eos=bool(body.ignore_eos),
        structure=structure,
        arrival_seconds=time.monotonic(),
        priority=body.priority or 0,
        cache_salt=cache_salt(body),
        uses_prefix_cache=body.cache_prompt is not False,
    )


def to_sampling(body: GenerationFields, served: ServedModel) -> SamplingParams:
    """What the request says, else what the model's folder says, else OpenAI's defaults.

    A request without a seed gets a random one, so everything below always has one.
    """
    defaults = served.sampling_defaults
    top_p = _first(body.top_p, defaults.top_p, 1.0)
    return SamplingParams(
        # The smallest nucleus is the likeliest token.
        temperature=0.0 if top_p < _SMALLEST_TOP_P else _first(body.temperature, defaults.temperature, 1.0),
        top_p=top_p or 1.0,
        top_k=max(0, int(_first(body.top_k, defaults.top_k, 0))),  # -1 is a common way to say off
        min_p=_first(body.min_p, defaults.min_p, 0.0),
        seed=secrets.randbits(63) if body.seed is None else body.seed,
        frequency_penalty=float(body.frequency_penalty or 0.0),
        presence_penalty=float(body.presence_penalty or 0.0),
        repetition_penalty=_first(_repetition_penalty(body), defaults.repetition_penalty, 1.0),
        logit_bias=_logit_bias(body.logit_bias or {}, served.vocab_size),
        num_top_logprobs=body.num_top_logprobs,
        num_prompt_logprobs=body.num_prompt_logprobs,
        min_tokens=_min_tokens(body),
    )


def _first(of_request: float | None, of_folder: float | None, otherwise: float) -> float:
    return float(next(each for each in (of_request, of_folder, otherwise) if each is not None))


def _repetition_penalty(body: GenerationFields) -> float | None:
    return one_of_names(
        {"repetition_penalty": body.repetition_penalty, "repeat_penalty": body.repeat_penalty}
    )


def cache_salt(body: GenerationFields) -> str:
    """Prompts find in the prefix cache what prompts of the same salt have left there."""
    names = ("cache_salt", "extra_key", "prompt_cache_isolation_key")
    return one_of_names({name: getattr(body, name) for name in names}) or ""


def _includes_stop(body: GenerationFields) -> bool:
    names = ("include_stop_str_in_output", "no_stop_trim")
    return bool(one_of_names({name: getattr(body, name) for name in names}))


def _logit_bias(bias: Mapping[str, float], vocab_size: int) -> tuple[tuple[int, float], ...]:
    """False, which is no number, bans its token."""
    amounts = {token_id: -math.inf if amount is False else amount for token_id, amount in bias.items()}
    pairs = tuple((int(token_id), float(amount)) for token_id, amount in amounts.items())
    check_token_ids((token_id for token_id, _ in pairs), vocab_size, "logit_bias")
    return pairs


def check_token_ids(token_ids: Iterable[int], vocab_size: int, param: str) -> None:
    """Raises InvalidRequestError for an id that is not in the vocabulary."""
    for token_id in token_ids:
        if token_id >= vocab_size:
            message = (
                f"Invalid '{param}': token id {token_id} is not in the vocabulary of {vocab_size} tokens."
            )
            raise InvalidRequestError(message, param=param)


def _min_tokens(body: GenerationFields) -> int:
    names = {"min_tokens": body.min_tokens, "min_new_tokens": body.min_new_tokens}
    wanted, limit = one_of_names(names) or 0, body.answer_limit
    if limit is not None and wanted > limit:
        raise InvalidRequestError(
            f"Invalid 'min_tokens': {wanted} is more than the limit of {limit} tokens.", param="min_tokens"
        )
    return wanted


def stop_token_ids(body: GenerationFields, served: ServedModel) -> tuple[int, ...]:
    token_ids = tuple(dict.fromkeys(body.stop_token_ids or ()))
    check_token_ids(token_ids, served.vocab_size, "stop_token_ids")
    return token_ids


def check_form(body: GenerationFields, structure: Structure | None, tool_use: ToolUse | None = None) -> None:
    """Raises InvalidRequestError where fields ask for two forms at once, or for a form without an end."""
    may_call = tool_use is not None and tool_use.mode == "auto"
    if may_call and structure is not None and not structure.is_json:
        message = f"'{structure.param}' cannot be combined with tools that may be called or not."
        raise InvalidRequestError(message, param=structure.param)
    if structure is None and not _is_enforced(tool_use):
        return
    # A grammar says itself where the answer ends: behind its end there is no token to go on with.
    for name in ("ignore_eos", "min_tokens", "min_new_tokens"):
        if getattr(body, name):
            message = f"'{name}' cannot be combined with an answer whose form is enforced."
            raise InvalidRequestError(message, param=name)


def _is_enforced(tool_use: ToolUse | None) -> bool:
    """Whether a grammar watches over the calls."""
    if tool_use is None or tool_use.mode == "none":
        return False
    functions = (tool["function"] for tool in tool_use.tools)
    return tool_use.mode == "required" or any(
        function.get("strict") and function["name"] in tool_use.callable_names for function in functions
    )
