"""The parts of answers that several dialects write alike."""

from __future__ import annotations

from collections.abc import Iterable

from api.errors import ApiError
from api.events import PromptTokens, TokenLogprob, Usage
from api.http.fields.answer_shapes import ErrorAnswer, PromptLogprob, PromptLogprobs, UsageObject


def error_object(error: ApiError) -> ErrorAnswer:
    """``{"error": {"message", "type", "param", "code"}}``"""
    return {
        "error": {
            "message": error.message,
            "type": error.type,
            "param": error.param,
            "code": error.code,
        }
    }


def usage_object(usage: Usage) -> UsageObject:
    return {
        "prompt_tokens": usage.num_prompt_tokens,
        "completion_tokens": usage.num_completion_tokens,
        "total_tokens": usage.num_total_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.num_cached_tokens},
        "completion_tokens_details": {
            "reasoning_tokens": usage.num_reasoning_tokens,
            "accepted_prediction_tokens": usage.num_accepted_prediction_tokens,
            "rejected_prediction_tokens": usage.num_rejected_prediction_tokens,
        },
    }


def prompt_logprobs_object(parts: Iterable[PromptTokens], num_top: int) -> PromptLogprobs:
    """vLLM's: one object for each token, with itself and the ``num_top`` likeliest in its place."""
    found: PromptLogprobs = []
    for part in parts:
        for index, token in enumerate(part.tokens):
            is_first = part.has_first and index == 0
            found.append(None if is_first else _by_id(token, num_top))
    return found


def _by_id(token: TokenLogprob, num_top: int) -> dict[str, PromptLogprob]:
    return {str(each.token_id): _entry(each) for each in (*token.top[:num_top], token)}


def _entry(token: TokenLogprob) -> PromptLogprob:
    return {"logprob": token.logprob, "rank": token.rank, "decoded_token": token.text}
