"""OpenAI's chat completions: from a parsed body to a GenerationRequest."""

from __future__ import annotations

from dataclasses import replace

from api.errors import InvalidRequestError
from api.protocol.chat_prompt import to_chat_prompt
from api.protocol.compatibility.field import refuse_fields
from api.protocol.compatibility.foreign import CHAT_FOREIGN
from api.protocol.compatibility.openai import CHAT
from api.protocol.generation import to_request
from api.protocol.messages import check_num_messages
from api.protocol.models import check_model_name
from api.protocol.reasoning import max_thinking_tokens
from api.protocol.structures import to_structure
from api.schemas.chat_completions import ChatCompletionRequest
from api.schemas.messages import text_of
from api.schemas.validation import validate_body
from api.server_handler import ServedModel
from api.types import GenerationRequest


def parse_chat_completion(data: object, served: ServedModel, accept_any_model: bool) -> ChatCompletionRequest:
    """Returns the typed body; raises InvalidRequestError where a field is wrong or cannot be honoured."""
    check_num_messages(data, served.context_length)
    body = validate_body(ChatCompletionRequest, data)
    check_model_name(body.model, served, accept_any_model)
    refuse_fields(body, CHAT)
    refuse_fields(body, CHAT_FOREIGN)
    if body.n_predict == 0:
        raise InvalidRequestError(
            "Invalid 'n_predict': a chat's answer has a token at least.", param="n_predict"
        )
    if body.top_logprobs and not body.logprobs:
        raise InvalidRequestError("'top_logprobs' needs 'logprobs' to be true.", param="top_logprobs")
    return body


def to_generation_request(body: ChatCompletionRequest, served: ServedModel) -> GenerationRequest:
    """Raises InvalidRequestError for fields that contradict each other and for unknown token ids."""
    prompt = to_chat_prompt(body.messages, body)
    request = to_request(body, served, "chatcmpl", prompt, to_structure(body))
    prediction = text_of(body.prediction.content) if body.prediction else None
    return replace(request, max_thinking_tokens=max_thinking_tokens(body), prediction=prediction or "")
