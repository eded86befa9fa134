"""What parts an answer may have, as the prompt and the request say, and the markers between them."""

from __future__ import annotations

from dataclasses import dataclass

from api.text.reasoning import ReasoningFormat
from api.text.sections import Markers, Section
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

    @property
    def has_headers(self) -> bool:
        return self.reasoning is not None and self.reasoning.has_headers

    @property
    def first_section(self) -> Section:
        if self.starts_in_reasoning:
            return Section.REASONING
        if self.has_headers and not self.continues_text:
            return Section.HEADER
        return Section.TOOL_CALL if self._has_bare_calls else Section.CONTENT

    @property
    def markers(self) -> Markers:
        between = Section.HEADER if self.has_headers else Section.CONTENT
        after = Section.TOOL_CALL if self._has_bare_calls else between
        markers: dict[Section, dict[str, Section]] = {section: {} for section in Section}
        if (reasoning := self.reasoning) is not None:
            markers[between][reasoning.begin] = Section.REASONING
            markers[after][reasoning.begin] = Section.REASONING
            markers[Section.REASONING][reasoning.end] = after
            markers[Section.HEADER].update(dict.fromkeys(reasoning.content_begins, Section.CONTENT))
            markers[Section.CONTENT].update(dict.fromkeys(reasoning.content_ends, Section.HEADER))
            markers[Section.CONTENT].update(dict.fromkeys(reasoning.dropped_markers, Section.CONTENT))
        if self.may_call and self.tool_format is not None and not self.tool_format.is_bare:
            begin, end = self.tool_format.begin, self.tool_format.end
            markers[between][begin] = Section.TOOL_CALL
            # Without an end marker calls end where the next begins.
            markers[Section.TOOL_CALL][end or begin] = between if end else Section.TOOL_CALL
        return markers

    @property
    def _has_bare_calls(self) -> bool:
        """Whether calls stand in the answer as its text."""
        return self.may_call and self.tool_format is not None and self.tool_format.is_bare
