"""OpenAI's older completions: plain texts that are continued, several prompts in one request."""

from __future__ import annotations

from api.errors import InvalidRequestError, UnsupportedFieldError
from api.http.compatibility.field import refuse_fields
from api.http.compatibility.foreign import COMPLETION_FOREIGN
from api.http.compatibility.openai import COMPLETIONS
from api.http.completions.shape import CompletionRequest
from api.http.fields.generation import check_token_ids, to_request
from api.http.fields.model_names import check_model_name
from api.http.fields.structures import to_structure
from api.http.fields.validation import validate_body
from api.server_handler import ServedModel
from api.types import GenerationRequest, TextPrompts

MAX_SEQUENCES = 2048  # of one request: prompts times choices


def parse_completion(data: object, served: ServedModel, accept_any_model: bool) -> CompletionRequest:
    """Returns the typed body; raises InvalidRequestError where a field is wrong or cannot be honoured."""
    body = validate_body(CompletionRequest, data)
    check_model_name(body.model, served, accept_any_model)
    _check_best_of(body)
    refuse_fields(body, (field for field in COMPLETIONS if field.name != "best_of"))
    refuse_fields(body, COMPLETION_FOREIGN)
    if len(body.prompts) * (body.n or 1) > MAX_SEQUENCES:
        message = f"One request may have {MAX_SEQUENCES} answers: 'n' for each prompt."
        raise InvalidRequestError(message, param="prompt")
    return body


def _check_best_of(body: CompletionRequest) -> None:
    if body.best_of not in (None, body.n or 1):
        message = "'best_of' is not supported by this server: answers are not ranked; send the value of 'n'."
        raise UnsupportedFieldError(message, param="best_of")


def to_generation_request(body: CompletionRequest, served: ServedModel) -> GenerationRequest:
    """Raises InvalidRequestError for fields that contradict each other and for unknown token ids."""
    for prompt in body.prompts:
        if not isinstance(prompt, str):
            check_token_ids(prompt, served.vocab_size, "prompt")
    prompts = TextPrompts(
        body.prompts, echo=bool(body.echo), adds_special_tokens=body.add_special_tokens is not False
    )
    return to_request(body, served, "cmpl", prompts, to_structure(body))
