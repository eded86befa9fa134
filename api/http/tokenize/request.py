"""What to ask the prompt reader, which answers without the model."""

from __future__ import annotations

from api.errors import InvalidRequestError
from api.http.chat_completions.messages import check_num_messages
from api.http.chat_completions.prompt import to_chat_prompt
from api.http.fields.generation import check_token_ids
from api.http.fields.model_names import check_model_name
from api.http.fields.validation import validate_body
from api.http.tokenize.shape import DetokenizeRequest, TokenizeRequest
from api.server_handler import ServedModel
from api.text.length_limits import num_chars
from api.threads.contracts import Question


def parse_tokenize(data: object, served: ServedModel, accept_any_model: bool) -> TokenizeRequest:
    """Raises InvalidRequestError unless there is either a prompt or a chat."""
    check_num_messages(data, served.context_length)
    body = validate_body(TokenizeRequest, data)
    if body.model is not None:
        check_model_name(body.model, served, accept_any_model)
    if (body.prompt is None) == (body.messages is None):
        raise InvalidRequestError("Exactly one of 'prompt' and 'messages' is needed.", param="prompt")
    return body


def parse_detokenize(data: object, served: ServedModel, accept_any_model: bool) -> DetokenizeRequest:
    body = validate_body(DetokenizeRequest, data)
    if body.model is not None:
        check_model_name(body.model, served, accept_any_model)
    return body


def to_tokens(body: TokenizeRequest, served: ServedModel) -> Question:
    """What to ask the prompt reader; raises InvalidRequestError for a chat that contradicts itself."""
    if body.messages is not None:
        chat = to_chat_prompt(body.messages, body)
        return Question(lambda reader: reader.tokenize_chat(chat), num_chars(chat))
    text, adds_special_tokens = body.prompt or "", body.add_special_tokens is not False
    return Question(lambda reader: reader.tokenize(text, adds_special_tokens), len(text))


def to_text(body: DetokenizeRequest, served: ServedModel) -> Question:
    """What to ask the prompt reader; raises InvalidRequestError for ids that are not in the vocabulary."""
    check_token_ids(body.tokens, served.vocab_size, "tokens")
    return Question(lambda reader: reader.detokenize(body.tokens), len(body.tokens))
