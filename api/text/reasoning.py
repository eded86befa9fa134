"""How a model marks its reasoning, and whether a prompt ends inside of it."""

from __future__ import annotations

from dataclasses import dataclass

from api.text.control_tokens import THINK_MARKERS
from api.text.tokenizer import Tokenizer

# gpt-oss: each message of an answer has a header that ends with <|message|>.
_HARMONY_BEGIN = "<|channel|>analysis<|message|>"
_HARMONY_END = "<|end|>"
_HARMONY_CONTENT_BEGINS = ("<|channel|>final<|message|>", "<|channel|>commentary<|message|>")


@dataclass(frozen=True, slots=True)
class ReasoningFormat:
    """A block between two markers, each one token or several, alone or merged with their neighbours.

    With ``content_begins`` an answer is a row of messages with headers: it starts in a header, each
    message's end leads to the next header, and a header's text belongs to nobody.
    """

    begin: str
    end: str
    dropped_markers: tuple[str, ...] = ()  # around the content, and nobody's text
    content_begins: tuple[str, ...] = ()  # in a header
    content_ends: tuple[str, ...] = ()

    @property
    def has_headers(self) -> bool:
        return bool(self.content_begins)

    def is_open_after(self, prompt: str, continued_text: str = "") -> bool:
        """Tells whether the answer to a prompt begins inside the block.

        The prompt's end opens it, or ``continued_text`` does: the text of the assistant that the
        prompt ends with. A marker anywhere else is something that people talk about.
        """
        opened, closed = continued_text.rfind(self.begin), continued_text.rfind(self.end)
        if opened == closed == -1:
            return prompt.removesuffix(continued_text).rstrip().endswith(self.begin.rstrip())
        return opened > closed


def find_reasoning_format(tokenizer: Tokenizer) -> ReasoningFormat | None:
    """Returns the format that the tokenizer declares, or its template shows; None for models without."""
    declared = tokenizer.declared_formats
    if declared.think_begin and declared.think_end:
        return ReasoningFormat(
            declared.think_begin, declared.think_end, dropped_markers=declared.dropped_markers
        )
    if "header" in declared.transitions:
        return _declared_headers(tokenizer)
    if tokenizer.chat_template_mentions(_HARMONY_BEGIN):
        return ReasoningFormat(
            _HARMONY_BEGIN,
            _HARMONY_END,
            content_begins=_HARMONY_CONTENT_BEGINS,
            content_ends=(_HARMONY_END,),
        )
    for begin, end in THINK_MARKERS:
        if tokenizer.chat_template_mentions(begin) and tokenizer.chat_template_mentions(end):
            return ReasoningFormat(begin, end)
    return None


def _declared_headers(tokenizer: Tokenizer) -> ReasoningFormat | None:
    transitions = tokenizer.declared_formats.transitions
    begins = [marker for marker, part in transitions["header"] if part == "reasoning"]
    ends = [marker for marker, _ in transitions.get("reasoning", ())]
    if not begins or not ends:
        return None
    return ReasoningFormat(
        begins[0],
        ends[0],
        dropped_markers=tuple(m for m, part in transitions.get("normal", ()) if part == "normal"),
        content_begins=tuple(m for m, part in transitions["header"] if part == "normal"),
        content_ends=tuple(m for m, part in transitions.get("normal", ()) if part == "header"),
    )
