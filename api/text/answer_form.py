"""What parts an answer may have, as the prompt and the request say."""

from __future__ import annotations

from dataclasses import dataclass

from api.text.reasoning import ReasoningFormat
from api.text.tool_calls.formats import ToolCallFormat
from api.types import ToolUse


@dataclass(frozen=True, slots=True)
class AnswerForm:
    """Whoever reads an answer from the same form finds the same parts in it."""

    continues_text: bool = False  # it goes on within a text, so its first space counts
    reasoning: ReasoningFormat | None = None
    starts_in_reasoning: bool = False  # the prompt ends inside the block
    tool_format: ToolCallFormat | None = None
    tool_use: ToolUse | None = None
    is_structured: bool = False  # a grammar holds for all but a block of reasoning at the very start

    @property
    def may_call(self) -> bool:
        """Whether calls are looked for."""
        use = self.tool_use
        return (
            self.tool_format is not None
            and use is not None
            and use.mode != "none"
            and bool(use.callable_names)
        )

    @property
    def has_sections(self) -> bool:
        """Whether there may be more than content."""
        return self.reasoning is not None or self.may_call
