"""Answers of the older completions: from a request's events to a stream or to one whole object."""

from __future__ import annotations

import codecs
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from api.events import (
    ChoiceFinished,
    Failed,
    Finished,
    OutputDelta,
    OutputPiece,
    PromptTokens,
    TextEvent,
    TokenLogprob,
    Usage,
)
from api.http.completions.answer_shapes import TextChoice, TextCompletion, TextLogprobs
from api.http.fields.answer_outline import AnswerOutline
from api.http.fields.answer_parts import error_object, prompt_logprobs_object, usage_object


class LogprobColumns:
    """One choice's logprobs in the older form: a column for each property, offsets in characters."""

    def __init__(self, num_echo_logprobs: int | None = None) -> None:
        """``num_echo_logprobs``: alternatives to tokens of the prompt; None: the prompt is not shown."""
        self._num_echo_logprobs = num_echo_logprobs
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._num_characters = 0

    def convert(self, pieces: Iterable[OutputPiece]) -> TextLogprobs:
        """What these pieces, which follow those before, add to the columns."""
        columns: TextLogprobs = {"tokens": [], "token_logprobs": [], "top_logprobs": [], "text_offset": []}
        for piece in pieces:
            if piece.prompt is not None and self._num_echo_logprobs is not None:
                self._append_prompt(columns, piece.prompt, self._num_echo_logprobs)
            for token in piece.logprobs:
                self._append(columns, token)
        return columns

    def _append_prompt(self, columns: TextLogprobs, prompt: PromptTokens, num_top: int) -> None:
        for index, token in enumerate(prompt.tokens):
            shown = replace(token, top=token.top[:num_top])
            self._append(columns, shown, is_first=prompt.has_first and index == 0)

    def _append(self, columns: TextLogprobs, token: TokenLogprob, *, is_first: bool = False) -> None:
        columns["tokens"].append(token_name(token))
        columns["token_logprobs"].append(None if is_first else token.logprob)
        columns["top_logprobs"].append(None if is_first else _alternatives(token))
        columns["text_offset"].append(self._advance(token))

    def _advance(self, token: TokenLogprob) -> int:
        """Where the token begins; one that ends inside a character leaves it to the next."""
        offset = self._num_characters
        if token.adds_text:
            self._num_characters += len(self._decoder.decode(token.raw))
        return offset


def token_name(token: TokenLogprob) -> str:
    """Its text, or its bytes where they are no text: two such tokens must not have one name."""
    try:
        return token.raw.decode()
    except UnicodeDecodeError:
        return "bytes:" + "".join(f"\\x{byte:02x}" for byte in token.raw)


def _alternatives(token: TokenLogprob) -> dict[str, float]:
    """The likeliest tokens, and the sampled one even where it is none of them."""
    found: dict[str, float] = {}
    for each in (*token.top, token):
        found.setdefault(token_name(each), each.logprob)
    return found


class TextWriter:
    """Turns one request's events into the objects of a stream; ``feed`` may return several or none."""

    def __init__(self, outline: AnswerOutline) -> None:
        self._outline = outline
        self._columns = [LogprobColumns(outline.num_echo_logprobs) for _ in range(outline.num_choices)]

    def feed(self, event: TextEvent) -> list[Any]:
        match event:
            case OutputDelta(choice_index=index, piece=piece):
                return [_chunk_of(self._outline, [self._of_piece(index, piece)])]
            case ChoiceFinished(choice_index=index, finish_reason=reason):
                last = self._outline.finish_reason(reason)
                return [_chunk_of(self._outline, [text_choice(index, "", None, last)])]
            case Finished(usage=usage):
                return [_chunk_of(self._outline, [], usage)] if self._outline.includes_usage else []
            case Failed(error=error):
                return [error_object(error)]
        return []

    def _of_piece(self, index: int, piece: OutputPiece) -> TextChoice:
        columns = self._columns[index].convert((piece,))
        return text_choice(index, piece.content, columns if columns["tokens"] else None, None)


def _chunk_of(
    outline: AnswerOutline, choices: list[TextChoice], usage: Usage | None = None
) -> TextCompletion:
    """``usage``: the last chunk's. Where it is wanted, all others say that it is still to come."""
    chunk = text_completion(outline, choices)
    if outline.includes_usage:
        chunk["usage"] = None if usage is None else usage_object(usage)
    return chunk


class TextCollector:
    """Gathers one request's events for an answer in one piece."""

    def __init__(self, outline: AnswerOutline) -> None:
        self._outline = outline
        self._pieces: list[list[OutputPiece]] = [[] for _ in range(outline.num_choices)]
        self._finish_reasons = ["stop"] * outline.num_choices

    def feed(self, event: TextEvent) -> None:
        match event:
            case OutputDelta(choice_index=index, piece=piece):
                self._pieces[index].append(piece)
            case ChoiceFinished(choice_index=index, finish_reason=reason):
                self._finish_reasons[index] = self._outline.finish_reason(reason)

    def answer(self, usage: Usage) -> TextCompletion:
        whole = text_completion(self._outline, [self._choice(i) for i in range(self._outline.num_choices)])
        whole["usage"] = usage_object(usage)
        return whole

    def _choice(self, index: int) -> TextChoice:
        pieces = self._pieces[index]
        text = "".join(piece.content for piece in pieces)
        columns = LogprobColumns(self._outline.num_echo_logprobs)
        logprobs = columns.convert(pieces) if self._outline.includes_logprobs else None
        choice = text_choice(index, text, logprobs, self._finish_reasons[index])
        num_top = self._outline.num_prompt_logprobs
        if num_top is not None:
            parts = [piece.prompt for piece in pieces if piece.prompt is not None]
            choice["prompt_logprobs"] = prompt_logprobs_object(parts, num_top)
        return choice


def text_completion(outline: AnswerOutline, choices: list[TextChoice]) -> TextCompletion:
    return {
        "id": outline.response_id,
        "object": "text_completion",
        "created": outline.created_seconds,
        "model": outline.model,
        "system_fingerprint": outline.system_fingerprint,
        "choices": choices,
    }


def text_choice(
    index: int, text: str, logprobs: TextLogprobs | None, finish_reason: str | None
) -> TextChoice:
    return {"index": index, "text": text, "logprobs": logprobs, "finish_reason": finish_reason}
