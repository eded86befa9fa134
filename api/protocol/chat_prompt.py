"""What the model reads in a chat: messages, tools and the switches of its template."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from api.errors import InvalidRequestError
from api.protocol.messages import to_template_messages
from api.protocol.tools import to_tool_use
from api.schemas.chat_completions import ChatPromptFields
from api.schemas.messages import Message
from api.types import ChatPrompt


def to_chat_prompt(messages: Sequence[Message], body: ChatPromptFields) -> ChatPrompt:
    """Raises InvalidRequestError for messages, tools or switches that contradict each other."""
    return ChatPrompt(
        messages=to_template_messages(messages),
        continue_final_message=_continues(messages, body),
        tool_use=to_tool_use(body),
        template_options=_template_options(body),
    )


def _continues(messages: Sequence[Message], body: ChatPromptFields) -> bool:
    continues = bool(body.continue_final_message)
    if body.add_generation_prompt is not None and body.add_generation_prompt == continues:
        raise InvalidRequestError(
            "'add_generation_prompt' must be the opposite of 'continue_final_message'.",
            param="add_generation_prompt",
        )
    if continues and messages[-1].role != "assistant":
        raise InvalidRequestError(
            "'continue_final_message' needs an assistant message in the last place.",
            param="continue_final_message",
        )
    return continues


def _template_options(body: ChatPromptFields) -> dict[str, Any]:
    """The template's own variables win nothing: each may be given once, or twice alike."""
    options: dict[str, Any] = dict(body.chat_template_kwargs or {})
    if body.reasoning_effort is not None:
        _set_option(options, "reasoning_effort", body.reasoning_effort, "reasoning_effort")
    if body.enable_thinking is not None:
        _set_option(options, "enable_thinking", body.enable_thinking, "enable_thinking")
    if body.reasoning_effort == "none":
        _set_option(options, "enable_thinking", False, "reasoning_effort")
    return options


def _set_option(options: dict[str, Any], name: str, value: object, param: str) -> None:
    if options.setdefault(name, value) != value:
        raise InvalidRequestError(f"'{param}' contradicts {name} = {options[name]!r}.", param=param)
