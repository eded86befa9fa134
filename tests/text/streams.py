"""Feeding pipelines, and putting together what comes out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from api.events import OutputPiece, OutputPipeline, TokenLogprob
from api.step_plan import SampledLogprobs
from api.text.tokenizer import Tokenizer
from api.types import ToolUse


def function(name: str, **properties: str) -> dict[str, Any]:
    """A tool with parameters of the given types; without any it has no ``parameters`` at all."""
    declared: dict[str, Any] = {"name": name, "description": f"Does {name}."}
    if properties:
        types = {key: {"type": kind} for key, kind in properties.items()}
        declared["parameters"] = {"type": "object", "properties": types}
    return {"type": "function", "function": declared}


TOOLS = (function("get_weather", city="string", days="integer"), function("now"))


def tool_use(**fields: Any) -> ToolUse:
    return ToolUse(TOOLS, ("get_weather", "now"), **fields)


@dataclass
class Answer:
    content: str = ""
    reasoning: str = ""
    calls: list[tuple[str, str]] = field(default_factory=list)  # name and arguments
    call_ids: list[str] = field(default_factory=list)
    logprobs: list[TokenLogprob] = field(default_factory=list)

    def add(self, piece: OutputPiece) -> None:
        self.content += piece.content
        self.reasoning += piece.reasoning
        self.logprobs += piece.logprobs
        for delta in piece.tool_calls:
            if delta.call_id is not None:
                assert delta.index == len(self.calls) and delta.name is not None
                self.call_ids.append(delta.call_id)
                self.calls.append((delta.name, ""))
            assert delta.index == len(self.calls) - 1
            name, arguments = self.calls[delta.index]
            self.calls[delta.index] = (name, arguments + delta.arguments)


def joined(pieces: Iterable[OutputPiece]) -> Answer:
    answer = Answer()
    for piece in pieces:
        answer.add(piece)
    return answer


def stream(
    pipeline: OutputPipeline, token_ids: Sequence[int], *, has_logprobs: bool = False
) -> list[OutputPiece]:
    """Feeds until the pipeline stops, as the results thread does. Token ``i`` has logprob ``-i``."""
    pieces: list[OutputPiece] = []
    for index, token_id in enumerate(token_ids):
        pieces.append(pipeline.feed(token_id, SampledLogprobs(-float(index)) if has_logprobs else None))
        if pipeline.is_stopped:
            return pieces
    return [*pieces, pipeline.flush()]


def encode_cut(tokenizer: Tokenizer, text: str, cuts: Iterable[int]) -> list[int]:
    """Encodes the parts between the cuts each on its own, so that the tokens fall otherwise."""
    ends = sorted({min(cut, len(text)) for cut in cuts} | {len(text)})
    token_ids: list[int] = []
    start = 0
    for end in ends:
        token_ids += tokenizer.encode(text[start:end])
        start = end
    return token_ids
