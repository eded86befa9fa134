"""What the prompt of a chat is made of: messages, tools and the switches of its template."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from api.errors import InvalidRequestError
from api.http.chat_completions.message_shapes import AssistantMessage, Message
from api.http.chat_completions.messages import to_template_messages
from api.http.chat_completions.shape import ChatPromptFields
from api.http.chat_completions.tools import to_tool_use
from api.http.fields.reasoning import enables_thinking, reasoning_effort
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
    continues = bool(body.continue_final_message) or _is_prefix(messages)
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


def _is_prefix(messages: Sequence[Message]) -> bool:
    """Whether the last message calls itself the answer's beginning; raises where another one does."""
    marked = [index for index, message in enumerate(messages) if _prefix_mark(message)]
    if marked and marked != [len(messages) - 1]:
        param = f"messages[{marked[0]}].{_prefix_mark(messages[marked[0]])}"
        raise InvalidRequestError(f"'{param}' is for the last message only.", param=param)
    return bool(marked)


def _prefix_mark(message: Message) -> str | None:
    """The name of the field by which it says so."""
    names = ("prefix", "partial")
    marks = (name for name in names if isinstance(message, AssistantMessage) and getattr(message, name))
    return next(marks, None)


def _template_options(body: ChatPromptFields) -> dict[str, Any]:
    """The template's own variables win nothing: each may be given once, or twice alike.

    An effort of none is what templates call no thinking. Whoever sets it as the template's own variable may
    set the other one beside it.
    """
    options: dict[str, Any] = dict(body.chat_template_kwargs or {})
    effort, enables = reasoning_effort(body), enables_thinking(body)
    if effort is not None:
        _set_option(options, "reasoning_effort", effort, "reasoning_effort")
    if enables is not None:
        _set_option(options, "enable_thinking", enables, "enable_thinking")
    if options.get("reasoning_effort") == "none":
        if effort is not None:
            _set_option(options, "enable_thinking", False, "reasoning_effort")
        options.setdefault("enable_thinking", False)
    return options


def _set_option(options: dict[str, Any], name: str, value: object, param: str) -> None:
    if options.setdefault(name, value) != value:
        raise InvalidRequestError(f"'{param}' contradicts {name} = {options[name]!r}.", param=param)
