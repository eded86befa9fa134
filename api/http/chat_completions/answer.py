"""Chat answers: from a request's events to the chunks of a stream or to one whole object."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from api.events import (
    Accepted,
    ChoiceFinished,
    Failed,
    Finished,
    OutputDelta,
    OutputPiece,
    PromptTokens,
    TextEvent,
    TokenLogprob,
    ToolCallDelta,
    Usage,
)
from api.http.chat_completions.answer_shapes import (
    CalledFunction,
    ChatChoice,
    ChatCompletion,
    ChatCompletionChunk,
    ChatLogprobs,
    ChunkChoice,
    ContentLogprob,
    Delta,
    MessageObject,
    ToolCallObject,
    TopLogprob,
)
from api.http.fields.answer_outline import AnswerOutline
from api.http.fields.answer_parts import error_object, prompt_logprobs_object, usage_object


class ChunkWriter:
    """Turns one request's events into the objects of a stream; ``feed`` may return several or none."""

    def __init__(self, outline: AnswerOutline) -> None:
        self._outline = outline

    def feed(self, event: TextEvent) -> list[Any]:
        match event:
            case OutputDelta(choice_index=index, piece=piece):
                return self._of_piece(index, piece)
            case Accepted():
                first: Delta = {"role": "assistant", "content": "", "refusal": None}
                return [self._chunk(index, first) for index in range(self._outline.num_choices)]
            case ChoiceFinished(choice_index=index, finish_reason=reason):
                return [self._chunk(index, {}, finish_reason=self._outline.finish_reason(reason))]
            case Finished(usage=usage):
                return [_chunk_of(self._outline, [], usage)] if self._outline.includes_usage else []
            case Failed(error=error):
                return [error_object(error)]

    def _of_piece(self, index: int, piece: OutputPiece) -> list[ChatCompletionChunk]:
        chunks: list[ChatCompletionChunk] = []
        if piece.reasoning and self._outline.shows_reasoning:
            reasoning: Delta = {"reasoning_content": piece.reasoning, "reasoning": piece.reasoning}
            chunks.append(self._chunk(index, reasoning))
        if piece.content or piece.logprobs:
            chunks.append(self._chunk(index, {"content": piece.content}, piece.logprobs))
        if piece.tool_calls:
            chunks.append(self._chunk(index, self._calls(piece.tool_calls)))
        return chunks

    def _calls(self, pieces: tuple[ToolCallDelta, ...]) -> Delta:
        if self._outline.uses_functions:
            arguments = "".join(piece.arguments for piece in pieces)
            names = [piece.name for piece in pieces if piece.name is not None]
            return {"function_call": _called(names[0] if names else None, arguments)}
        return {"tool_calls": [_call_piece(piece) for piece in _one_each(pieces)]}

    def _chunk(
        self,
        index: int,
        delta: Delta,
        logprobs: tuple[TokenLogprob, ...] = (),
        finish_reason: str | None = None,
    ) -> ChatCompletionChunk:
        choice: ChunkChoice = {
            "index": index,
            "delta": delta,
            "logprobs": logprobs_object(logprobs) if logprobs else None,
            "finish_reason": finish_reason,
        }
        return _chunk_of(self._outline, [choice])


def _chunk_of(
    outline: AnswerOutline, choices: list[ChunkChoice], usage: Usage | None = None
) -> ChatCompletionChunk:
    """``usage``: the last chunk's. Where it is wanted, all others say that it is still to come."""
    chunk: ChatCompletionChunk = {
        "id": outline.response_id,
        "object": "chat.completion.chunk",
        "created": outline.created_seconds,
        "model": outline.model,
        "system_fingerprint": outline.system_fingerprint,
        "choices": choices,
    }
    if outline.includes_usage:
        chunk["usage"] = None if usage is None else usage_object(usage)
    return chunk


@dataclass(slots=True)
class _Choice:
    """One choice's parts, as they come."""

    content: list[str] = field(default_factory=list)
    reasoning: list[str] = field(default_factory=list)
    calls: dict[int, list[ToolCallDelta]] = field(default_factory=dict)
    logprobs: list[TokenLogprob] = field(default_factory=list)
    finish_reason: str = "stop"

    def add(self, piece: OutputPiece) -> None:
        self.content.append(piece.content)
        self.reasoning.append(piece.reasoning)
        self.logprobs += piece.logprobs
        for call in piece.tool_calls:
            self.calls.setdefault(call.index, []).append(call)


class ChatCollector:
    """Gathers one request's events for an answer in one piece."""

    def __init__(self, outline: AnswerOutline) -> None:
        self._outline = outline
        self._choices = [_Choice() for _ in range(outline.num_choices)]
        self._prompt: list[PromptTokens] = []  # as the first choice has it

    def feed(self, event: TextEvent) -> None:
        match event:
            case OutputDelta(choice_index=index, piece=piece):
                self._choices[index].add(piece)
                if piece.prompt is not None and index == 0:
                    self._prompt.append(piece.prompt)
            case ChoiceFinished(choice_index=index, finish_reason=reason):
                self._choices[index].finish_reason = self._outline.finish_reason(reason)

    def answer(self, usage: Usage) -> ChatCompletion:
        answer: ChatCompletion = {
            "id": self._outline.response_id,
            "object": "chat.completion",
            "created": self._outline.created_seconds,
            "model": self._outline.model,
            "system_fingerprint": self._outline.system_fingerprint,
            "choices": [self._choice(index, choice) for index, choice in enumerate(self._choices)],
            "usage": usage_object(usage),
        }
        if self._outline.num_prompt_logprobs is not None:
            num_top = self._outline.num_prompt_logprobs
            answer["prompt_logprobs"] = prompt_logprobs_object(self._prompt, num_top)
        return answer

    def _choice(self, index: int, choice: _Choice) -> ChatChoice:
        return {
            "index": index,
            "message": self._message(choice),
            "logprobs": logprobs_object(choice.logprobs) if self._outline.includes_logprobs else None,
            "finish_reason": choice.finish_reason,
        }

    def _message(self, choice: _Choice) -> MessageObject:
        content, reasoning = "".join(choice.content), "".join(choice.reasoning)
        message: MessageObject = {
            "role": "assistant",
            "content": None if choice.calls and not content else content,
            "refusal": None,
        }
        if reasoning and self._outline.shows_reasoning:
            message["reasoning_content"] = message["reasoning"] = reasoning
        calls = [_whole_call(pieces) for _, pieces in sorted(choice.calls.items())]
        if calls and self._outline.uses_functions:
            message["function_call"] = calls[0]["function"]
        elif calls:
            message["tool_calls"] = calls
        return message


def _one_each(pieces: tuple[ToolCallDelta, ...]) -> list[ToolCallDelta]:
    """At most one piece of each call: clients do not expect a call twice in one chunk."""
    merged: dict[int, ToolCallDelta] = {}
    for piece in pieces:
        first = merged.setdefault(piece.index, piece)
        if first is not piece:
            merged[piece.index] = replace(first, arguments=first.arguments + piece.arguments)
    return list(merged.values())


def _call_piece(piece: ToolCallDelta) -> ToolCallObject:
    call: ToolCallObject = {"index": piece.index, "function": _called(piece.name, piece.arguments)}
    if piece.call_id is not None:
        call["id"] = piece.call_id
        call["type"] = "function"
    return call


def _whole_call(pieces: list[ToolCallDelta]) -> ToolCallObject:
    first = pieces[0]
    return {
        "id": first.call_id or "",
        "type": "function",
        "function": {"name": first.name or "", "arguments": "".join(piece.arguments for piece in pieces)},
    }


def _called(name: str | None, arguments: str) -> CalledFunction:
    return {"arguments": arguments} if name is None else {"name": name, "arguments": arguments}


def logprobs_object(logprobs: list[TokenLogprob] | tuple[TokenLogprob, ...]) -> ChatLogprobs:
    return {"content": [_content_logprob(each) for each in logprobs], "refusal": None}


def _content_logprob(token: TokenLogprob) -> ContentLogprob:
    return {**_top_logprob(token), "top_logprobs": [_top_logprob(each) for each in token.top]}


def _top_logprob(token: TokenLogprob) -> TopLogprob:
    return {"token": token.text, "logprob": token.logprob, "bytes": list(token.raw)}
