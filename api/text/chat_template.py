"""A chat as the model's own template writes it, in tokens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jinja2 import TemplateError

from api.errors import InvalidRequestError, MissingChatTemplateError
from api.text.chat_messages import prepare_messages
from api.text.reasoning import find_reasoning_format
from api.text.template_support import TEMPLATE_FAILURES
from api.text.tokenizer import Tokenizer
from api.types import ChatPrompt

# The renderer's own arguments: everything else is a variable for the template.
_RESERVED_OPTIONS = frozenset(
    {
        "add_generation_prompt",
        "chat_template",
        "continue_final_message",
        "conversation",
        "max_length",
        "messages",
        "padding",
        "return_assistant_tokens_mask",
        "return_dict",
        "return_tensors",
        "sanitize_control_tokens",
        "self",
        "tokenize",
        "tokenizer_kwargs",
        "tools",
        "truncation",
    }
)


@dataclass(frozen=True, slots=True)
class RenderedPrompt:
    """A prompt that ends where the model is to write on."""

    token_ids: list[int]
    text: str
    ends_in_reasoning: bool = False


def render_chat(tokenizer: Tokenizer, prompt: ChatPrompt) -> RenderedPrompt:
    """Renders and tokenises a chat, with the tools unless none may be called.

    Raises MissingChatTemplateError, and InvalidRequestError when the template refuses the messages.
    """
    if not tokenizer.has_chat_template:
        raise MissingChatTemplateError("The model has no chat template.", param="messages")
    if tokenizer.template_error is not None:
        message = f"The model's chat template is broken ({tokenizer.template_error})."
        raise MissingChatTemplateError(message, param="messages", code="chat_template_broken")
    if prompt.continue_final_message:
        _check_continuable(prompt.messages)
    text = _render(tokenizer, prompt, _template_options(prompt.template_options))
    try:
        token_ids = tokenizer.encode(text, add_special_tokens=False)
    except UnicodeEncodeError as error:
        raise InvalidRequestError("A message has a lone surrogate.", param="messages") from error
    return RenderedPrompt(token_ids, text, _ends_in_reasoning(tokenizer, prompt, text))


def _check_continuable(messages: Sequence[Mapping[str, Any]]) -> None:
    if not messages or messages[-1].get("role") != "assistant":
        raise InvalidRequestError(
            "The last message must be the assistant's to be continued.", param="continue_final_message"
        )


def _template_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the template's variables; an effort of none is what templates call no thinking."""
    for name in options:
        if name in _RESERVED_OPTIONS:
            message = f"chat_template_kwargs may not set {name}: the server does."
            raise InvalidRequestError(message, param="chat_template_kwargs")
    if options.get("reasoning_effort") == "none":
        return {"enable_thinking": False, **options}
    return dict(options)


def _ends_in_reasoning(tokenizer: Tokenizer, prompt: ChatPrompt, text: str) -> bool:
    reasoning = find_reasoning_format(tokenizer)
    if reasoning is None:
        return False
    continued = prompt.messages[-1].get("content") if prompt.continue_final_message else None
    return reasoning.is_open_after(text, continued or "")


def _render(tokenizer: Tokenizer, prompt: ChatPrompt, options: dict[str, Any]) -> str:
    tool_use = prompt.tool_use
    shown_tools = tool_use.tools if tool_use is not None and tool_use.mode != "none" else ()
    messages, tools = prepare_messages(
        prompt.messages,
        shown_tools,
        tokenizer.template_support,
        knows_developer=tokenizer.chat_template_mentions("developer"),
    )
    try:
        return tokenizer.apply_chat_template(
            messages, continue_final_message=prompt.continue_final_message, tools=tools, options=options
        )
    except TemplateError as error:
        raise InvalidRequestError(str(error), param="messages") from error
    except TEMPLATE_FAILURES as error:
        reason = str(error).partition("\n")[0] or type(error).__name__
        message = f"The model's chat template cannot render these messages: {reason}"
        raise InvalidRequestError(message, param="messages") from error
