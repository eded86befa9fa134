"""What a client predicts of the answer, in tokens as the model would write them."""

from __future__ import annotations

from api.errors import ContextLengthError, InvalidRequestError
from api.text.control_tokens import CUT
from api.text.length_limits import exceeds
from api.text.tokenizer import Tokenizer
from api.types import TextPrompts

PARAM = "prediction.content"


def check_prediction(text: str, max_bytes: int, context_length: int) -> None:
    """Raises ContextLengthError for a text that no context can hold, before anybody tokenises it."""
    if exceeds(TextPrompts((text,)), max_bytes):
        raise _too_long(f"more than {max_bytes} bytes", context_length)


def encode_prediction(tokenizer: Tokenizer, text: str, context_length: int) -> list[int]:
    """Names of control tokens in it are text, but for those that begin and end an answer's thinking.

    Raises InvalidRequestError for lone surrogates, ContextLengthError for more than the context.
    """
    controls = tokenizer.control_tokens
    try:
        pieces = [text]
        if controls is not None:
            pieces = controls.cut_message({"role": "assistant", "content": text})["content"].split(CUT)
        token_ids = tokenizer.encode_pieces(pieces)
    except UnicodeError as error:
        raise InvalidRequestError("The prediction has a lone surrogate.", param=PARAM) from error
    if len(token_ids) > context_length:
        raise _too_long(f"{len(token_ids)} tokens", context_length)
    return token_ids


def _too_long(size: str, context_length: int) -> ContextLengthError:
    return ContextLengthError(
        f"This model's maximum context length is {context_length} tokens. However, your prediction has "
        f"{size}. Please shorten it.",
        param=PARAM,
    )
