"""OpenAI's chat completions: from a parsed body to a GenerationRequest."""

from __future__ import annotations

import secrets
import time

from api.errors import InvalidRequestError
from api.protocol.chat_prompt import to_chat_prompt
from api.protocol.compatibility import CHAT, CHAT_EXTENSIONS, refuse_fields
from api.protocol.generation import check_form, one_of_names, stop_token_ids, to_sampling
from api.protocol.models import check_model_name
from api.protocol.structures import to_structure
from api.schemas.chat_completions import ChatCompletionRequest
from api.schemas.validation import validate_body
from api.server_handler import ServedModel
from api.types import GenerationRequest


def parse_chat_completion(data: object, served: ServedModel, accept_any_model: bool) -> ChatCompletionRequest:
    """Returns the typed body; raises InvalidRequestError where a field is wrong or cannot be honoured."""
    body = validate_body(ChatCompletionRequest, data)
    check_model_name(body.model, served, accept_any_model)
    refuse_fields(body, CHAT)
    refuse_fields(body, CHAT_EXTENSIONS)
    if body.top_logprobs and not body.logprobs:
        raise InvalidRequestError("'top_logprobs' needs 'logprobs' to be true.", param="top_logprobs")
    return body


def to_generation_request(body: ChatCompletionRequest, served: ServedModel) -> GenerationRequest:
    """Raises InvalidRequestError for fields that contradict each other and for unknown token ids."""
    prompt = to_chat_prompt(body.messages, body)
    structure = to_structure(body)
    check_form(body, structure, prompt.tool_use)
    return GenerationRequest(
        request_id=f"chatcmpl-{secrets.token_hex(16)}",
        prompt=prompt,
        sampling=to_sampling(body, served),
        num_choices=body.n or 1,
        max_tokens=body.answer_limit,
        stop=body.stop_strings,
        stop_token_ids=stop_token_ids(body, served),
        includes_stop=bool(body.include_stop_str_in_output),
        ignores_eos=bool(body.ignore_eos),
        structure=structure,
        max_thinking_tokens=_thinking_budget(body),
        arrival_seconds=time.monotonic(),
    )


def _thinking_budget(body: ChatCompletionRequest) -> int | None:
    names = ("thinking_token_budget", "thinking_budget_tokens", "thinking_budget")
    budget = one_of_names({name: getattr(body, name) for name in names})
    return None if budget is None or budget < 0 else int(budget)
