"""OpenAI's chat completions: from a parsed body to a GenerationRequest."""

from __future__ import annotations

from dataclasses import replace

from api.errors import InvalidRequestError
from api.http.chat_completions.message_shapes import text_of
from api.http.chat_completions.messages import check_num_messages
from api.http.chat_completions.prompt import to_chat_prompt
from api.http.chat_completions.shape import ChatCompletionRequest
from api.http.compatibility.field import refuse_fields
from api.http.compatibility.foreign import CHAT_FOREIGN
from api.http.compatibility.openai import CHAT
from api.http.fields.generation import to_request
from api.http.fields.model_names import check_model_name
from api.http.fields.reasoning import max_thinking_tokens
from api.http.fields.structures import to_structure
from api.http.fields.validation import validate_body
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
