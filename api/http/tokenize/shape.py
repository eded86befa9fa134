"""What a client may send to ``POST /tokenize`` and ``POST /detokenize``."""

from __future__ import annotations

from api.http.chat_completions.shape import ChatPromptFields, Messages
from api.http.fields.wire import TokenId, WireModel


class TokenizeRequest(ChatPromptFields):
    """Either a prompt or a chat; what shapes a chat's prompt has its names of the chat completions."""

    model: str | None = None
    prompt: str | None = None  # names of special tokens in it become these tokens
    messages: Messages | None = None
    add_special_tokens: bool | None = None  # of a prompt; a chat's are the template's


class DetokenizeRequest(WireModel):
    model: str | None = None
    tokens: list[TokenId]
