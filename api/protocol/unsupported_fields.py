"""Refuses what would change the answer and is not honoured, unless it asks for nothing special."""

from __future__ import annotations

from typing import Any

from api.errors import InvalidRequestError, UnsupportedFieldError
from api.schemas.chat_completions import ChatCompletionRequest, Message

# Field -> the values that mean the same as leaving it out; None and empty containers always do.
_NEUTRAL_VALUES: dict[str, tuple[Any, ...]] = {
    "audio": (),
    "frequency_penalty": (0,),
    "function_call": ("none", "auto"),
    "functions": (),
    "logit_bias": (),
    "logprobs": (False,),
    "modalities": (["text"],),
    "n": (1,),
    "prediction": (),
    "presence_penalty": (0,),
    "reasoning_effort": (),
    "tool_choice": ("none", "auto"),
    "tools": (),
    "top_logprobs": (0,),
    "verbosity": ("medium",),
    "web_search_options": (),
}
_UNSUPPORTED_ROLES = ("tool", "function")
_UNSUPPORTED_MESSAGE_FIELDS = ("tool_calls", "function_call", "audio")


def refuse_unsupported(body: ChatCompletionRequest) -> None:
    """Raises UnsupportedFieldError, or InvalidRequestError for a message without content."""
    for name, neutral in _NEUTRAL_VALUES.items():
        _refuse_field(name, getattr(body, name), neutral)
    if body.response_format is not None and body.response_format.type != "text":
        message = f"'response_format' of type {body.response_format.type!r} is not supported by this server."
        raise UnsupportedFieldError(message, param="response_format")
    for index, message_ in enumerate(body.messages):
        _check_message(message_, f"messages[{index}]")
    if body.continue_final_message and body.messages[-1].role != "assistant":
        raise InvalidRequestError(
            "'continue_final_message' needs an assistant message in the last place.",
            param="continue_final_message",
        )


def _refuse_field(name: str, value: object, neutral: tuple[Any, ...]) -> None:
    if value is None or value == [] or value == {} or value in neutral:
        return
    hint = f"; leave it out or send {neutral[0]!r}" if neutral else ""
    raise UnsupportedFieldError(f"'{name}' is not supported by this server{hint}.", param=name)


def _check_message(message: Message, path: str) -> None:
    if message.role in _UNSUPPORTED_ROLES:
        text = f"Messages of role {message.role!r} are not supported by this server."
        raise UnsupportedFieldError(text, param=f"{path}.role")
    for name in _UNSUPPORTED_MESSAGE_FIELDS:
        if getattr(message, name):
            text = f"'{path}.{name}' is not supported by this server."
            raise UnsupportedFieldError(text, param=f"{path}.{name}")
    if message.content is None:
        raise InvalidRequestError(
            f"Missing required parameter: '{path}.content'.",
            param=f"{path}.content",
            code="missing_required_parameter",
        )
