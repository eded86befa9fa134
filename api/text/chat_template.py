"""A chat as the model's own template writes it, in tokens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from jinja2 import TemplateError

from api.errors import InvalidRequestError, MissingChatTemplateError
from api.text.tokenizer import Tokenizer

# What rendering raises for messages it was not written for. Templates come with the model and run
# in a sandbox, so a failure says that these messages do not suit them, not that the server is broken.
_TEMPLATE_FAILURES = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    NotImplementedError,
    RecursionError,
    TypeError,
    ValueError,
)


def render_chat(
    tokenizer: Tokenizer, messages: Sequence[Mapping[str, Any]], *, continue_final_message: bool
) -> list[int]:
    """Returns the prompt's token ids, ending where the model is to write on.

    Raises MissingChatTemplateError, and InvalidRequestError when the template refuses the messages.
    """
    if not tokenizer.has_chat_template:
        raise MissingChatTemplateError("The model has no chat template.", param="messages")
    if continue_final_message:
        _check_continuable(messages)
    text = _render(tokenizer, _with_known_roles(tokenizer, messages), continue_final_message)
    try:
        return tokenizer.encode(text, add_special_tokens=False)
    except UnicodeEncodeError as error:
        raise InvalidRequestError("A message has a lone surrogate.", param="messages") from error


def _check_continuable(messages: Sequence[Mapping[str, Any]]) -> None:
    if not messages or messages[-1].get("role") != "assistant":
        raise InvalidRequestError(
            "The last message must be the assistant's to be continued.", param="continue_final_message"
        )


def _with_known_roles(
    tokenizer: Tokenizer, messages: Sequence[Mapping[str, Any]]
) -> Sequence[Mapping[str, Any]]:
    """Gives the developer's messages to ``system`` where the template knows no developer."""
    if tokenizer.chat_template_mentions("developer"):
        return messages
    return [{**m, "role": "system"} if m.get("role") == "developer" else m for m in messages]


def _render(tokenizer: Tokenizer, messages: Sequence[Mapping[str, Any]], continue_final_message: bool) -> str:
    try:
        return tokenizer.apply_chat_template(messages, continue_final_message=continue_final_message)
    except TemplateError as error:
        raise InvalidRequestError(str(error), param="messages") from error
    except _TEMPLATE_FAILURES as error:
        reason = str(error).partition("\n")[0] or type(error).__name__
        message = f"The model's chat template cannot render these messages: {reason}"
        raise InvalidRequestError(message, param="messages") from error
