"""Logprobs of a prompt's tokens in the form of vLLM's field of that name."""

from __future__ import annotations

from collections.abc import Iterable

from api.events import PromptTokens, TokenLogprob
from api.http.fields.answer_shapes import PromptLogprob, PromptLogprobs


def prompt_logprobs_object(parts: Iterable[PromptTokens], num_top: int) -> PromptLogprobs:
    """One object for each token: itself and the ``num_top`` likeliest in its place."""
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
