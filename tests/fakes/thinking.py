"""Thinking blocks over the tokens that a test names."""

from __future__ import annotations

from api.text.answer_form import AnswerForm
from api.text.reasoning import ReasoningFormat
from api.text.thinking import AnswerThinking, ThinkingMarkers
from api.types import Thinking
from tests.fakes.piece_tokenizer import PieceTokenizer


def create_thinking(
    tokenizer: PieceTokenizer,
    *,
    begin: str = "<think>",
    end: str = "</think>",
    is_open: bool = True,
    max_tokens: int | None = None,
    with_grammar: bool = False,
) -> Thinking:
    reasoning = ReasoningFormat(begin, end)
    form = AnswerForm(reasoning=reasoning, starts_in_reasoning=is_open, is_structured=with_grammar)
    markers = ThinkingMarkers(tokenizer.as_tokenizer(), reasoning)
    spell = lambda text: tokenizer.encode(text.decode())  # noqa: E731
    return Thinking(AnswerThinking(markers, form, spell), max_tokens)
