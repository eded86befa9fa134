"""Texts and chats in tokens, and tokens as a text."""

from __future__ import annotations

from typing_extensions import TypedDict  # pydantic takes typing's own from Python 3.12 on only

from api.server_handler import ServedModel


class TokenizeAnswer(TypedDict):
    tokens: list[int]
    count: int
    max_model_len: int  # tokens that a prompt and its answer share


class DetokenizeAnswer(TypedDict):
    prompt: str


def tokenize_answer(token_ids: list[int], served: ServedModel) -> TokenizeAnswer:
    return {"tokens": token_ids, "count": len(token_ids), "max_model_len": served.context_length}


def detokenize_answer(text: str) -> DetokenizeAnswer:
    return {"prompt": text}
