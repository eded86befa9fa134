"""A chat as the model's own template writes it, in tokens."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from jinja2 import TemplateError

from api.errors import InvalidRequestError, MissingChatTemplateError
from api.text.chat_messages import arrange_messages, prepare_messages
from api.text.control_tokens import CUT
from api.text.dropped_messages import first_dropped
from api.text.message_folding import Message
from api.text.reasoning import find_reasoning_format
from api.text.template_support import TEMPLATE_FAILURES, TemplateSupport
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


@dataclass(frozen=True, slots=True)
class _Chat:
    """What the template gets, before it is arranged for it."""

    messages: list[Message]  # one for each of the request's
    tools: list[dict[str, Any]]
    options: dict[str, Any]
    is_continued: bool
    has_cuts: bool  # in names of control tokens


def render_chat(tokenizer: Tokenizer, prompt: ChatPrompt) -> RenderedPrompt:
    """Renders and tokenises a chat, with the tools unless none may be called.

    Raises MissingChatTemplateError, and InvalidRequestError when the template refuses the messages or
    leaves one out.
    """
    if not tokenizer.has_chat_template:
        raise MissingChatTemplateError("The model has no chat template.", param="messages")
    if tokenizer.template_error is not None:
        message = f"The model's chat template is broken ({tokenizer.template_error})."
        raise MissingChatTemplateError(message, param="messages", code="chat_template_broken")
    try:
        chat = _read_chat(tokenizer, prompt)
        text = _render(tokenizer, chat)
        token_ids = tokenizer.encode_pieces(text.split(CUT) if chat.has_cuts else [text])
    except UnicodeError as error:
        raise InvalidRequestError("A message has a lone surrogate.", param="messages") from error
    return RenderedPrompt(token_ids, text.replace(CUT, ""), _ends_in_reasoning(tokenizer, chat, text))


def _read_chat(tokenizer: Tokenizer, prompt: ChatPrompt) -> _Chat:
    """Prepares the messages; where one has the name of a control token, it is cut wherever it stands."""
    tool_use = prompt.tool_use
    tools = list(tool_use.tools) if tool_use is not None and tool_use.mode != "none" else []
    options = _template_options(prompt.template_options)
    try:
        messages = prepare_messages(prompt.messages, tokenizer.template_support)
        controls = tokenizer.control_tokens
        has_cuts = controls is not None and controls.are_in([messages, tools, options])
        if controls is not None and has_cuts:
            messages = [controls.cut_message(message) for message in messages]
            tools, options = controls.cut(tools), controls.cut(options)
    except RecursionError as error:
        raise InvalidRequestError("The messages are nested too deeply.", param="messages") from error
    return _Chat(messages, tools, options, prompt.continue_final_message, has_cuts)


def _template_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the template's variables."""
    for name in options:
        if name in _RESERVED_OPTIONS:
            message = f"chat_template_kwargs may not set {name}: the server does."
            raise InvalidRequestError(message, param="chat_template_kwargs")
    return dict(options)


def _ends_in_reasoning(tokenizer: Tokenizer, chat: _Chat, text: str) -> bool:
    """A marker that somebody wrote is cut in ``text``, so only the template's own counts."""
    reasoning = find_reasoning_format(tokenizer)
    if reasoning is None:
        return False
    return reasoning.is_open_after(text, chat.messages[-1]["content"] if chat.is_continued else "")


def _render(tokenizer: Tokenizer, chat: _Chat) -> str:
    """Tries what the template supports by its probe; where this chat is another case, with less of it."""
    failure = None
    for support in tokenizer.template_support.fallbacks():
        try:
            return _render_with(tokenizer, chat, support)
        except InvalidRequestError as error:
            failure = failure or error
    assert failure is not None
    raise failure


def _render_with(tokenizer: Tokenizer, chat: _Chat, support: TemplateSupport) -> str:
    try:
        messages, tools = arrange_messages(chat.messages, chat.tools, support)
        text = tokenizer.apply_chat_template(
            messages, continue_final_message=chat.is_continued, tools=tools, options=chat.options
        )
    except TemplateError as error:
        raise InvalidRequestError(str(error), param="messages") from error
    except UnicodeError:
        raise
    except TEMPLATE_FAILURES as error:
        reason = str(error).partition("\n")[0] or type(error).__name__
        message = f"The model's chat template cannot render these messages: {reason}"
        raise InvalidRequestError(message, param="messages") from error
    _check_shown(tokenizer, chat, text)
    return text


def _check_shown(tokenizer: Tokenizer, chat: _Chat, text: str) -> None:
    if not all(tool["function"]["name"] in text for tool in chat.tools):
        raise InvalidRequestError(
            "The model's chat template does not show the tools in this chat.", param="tools"
        )
    begin, end = tokenizer.declared_formats.think_begin, tokenizer.declared_formats.think_end
    thinking = (begin, end) if begin and end else None
    index = first_dropped(chat.messages, text, tokenizer.chat_template_mentions, thinking)
    if index is not None:
        role = chat.messages[index]["role"]
        raise InvalidRequestError(
            f"The model's chat template leaves out the {role} message messages[{index}] in this chat.",
            param=f"messages[{index}]",
        )
