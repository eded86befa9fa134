"""The pipeline of answers that have more than content: reasoning, tool calls, headers."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from api.events import OutputPiece, TokenLogprob, ToolCallDelta
from api.step_plan import SampledLogprobs
from api.text.answer_form import AnswerForm
from api.text.content_stage import ContentStage
from api.text.sections import Section, SectionChange, SectionSplitter, SectionText
from api.text.token_fragments import Fragment, FragmentQueue, TokenFragments
from api.text.tokenizer import Tokenizer
from api.text.tool_calls.collector import Collected, ToolCallCollector
from api.text.trimming import EdgeTrimmer

_MAX_HEADER_CHARS = 128  # longer ones are no headers: the model left its form


@dataclass(slots=True)
class _Parts:
    """What one token brought."""

    content: list[str] = field(default_factory=list)
    reasoning: list[str] = field(default_factory=list)
    tool_calls: list[ToolCallDelta] = field(default_factory=list)
    logprobs: list[TokenLogprob] = field(default_factory=list)

    def joined(self) -> OutputPiece:
        return OutputPiece(
            "".join(self.content), "".join(self.reasoning), tuple(self.tool_calls), tuple(self.logprobs)
        )


class SectionPipeline:
    """Splits an answer into sections and gives each its own stages; see ``output_pipeline.py``."""

    def __init__(self, tokenizer: Tokenizer, content: ContentStage, form: AnswerForm) -> None:
        self._collector: ToolCallCollector | None = None
        if form.may_call and form.tool_format is not None and form.tool_use is not None:
            self._collector = ToolCallCollector(form.tool_format, form.tool_use)
        self._tokens = TokenFragments(tokenizer, continues_text=form.continues_text)
        self._splitter = SectionSplitter(form.markers, form.first_section, self._accepts_marker)
        self._is_structured = form.is_structured
        self.has_begun = False  # something is known to be text or a marker
        self._header = FragmentQueue()
        self._is_no_header = False
        self._reasoning = EdgeTrimmer(trims_start=not form.continues_text, holds_end=True)
        is_trimmed = form.reasoning is not None and not form.continues_text and not form.is_structured
        self._content_edges = EdgeTrimmer(trims_start=is_trimmed, holds_end=self._collector is not None)
        self._content = content
        self.num_reasoning_tokens = 0

    @property
    def is_in_reasoning(self) -> bool:
        return self._splitter.section is Section.REASONING

    @property
    def open_text(self) -> str:
        """The text at the end that may begin a marker, if the next token can go on with it."""
        return "" if self._tokens.is_inside_character else self._splitter.open_text

    @property
    def is_stopped(self) -> bool:
        """True once a stop string was met or the only call is complete; no more comes."""
        return self._content.is_stopped or (self._collector is not None and self._collector.is_finished)

    @property
    def has_tool_calls(self) -> bool:
        return self._collector is not None and self._collector.num_calls > 0

    def feed(self, token_id: int, logprobs: SampledLogprobs | None = None) -> OutputPiece:
        """Returns what is certain after this token (may be empty)."""
        parts = _Parts()
        for fragment in self._tokens.feed(token_id, logprobs):
            self._handle_all(self._splitter.feed(fragment), parts)
        if self._is_structured and not self.has_tool_calls:
            self._content_edges.end_start()  # what a grammar asks for, blank lines too, begins with a token
        return parts.joined()

    def flush(self) -> OutputPiece:
        """Returns what was held back at the end; ``is_stopped`` may turn true by it."""
        parts = _Parts()
        if not self.is_stopped:
            self._flush_sections(parts)
        self._show_content(*self._content.flush(), parts=parts)
        return parts.joined()

    def _flush_sections(self, parts: _Parts) -> None:
        for fragment in self._tokens.flush():
            self._handle_all(self._splitter.feed(fragment), parts)
        self._handle_all(self._splitter.flush(), parts)
        if self._splitter.section is Section.TOOL_CALL and self._collector is not None:
            self._collect(self._collector.end([], is_cut=True), parts)
        self._show_header(parts)
        self._show(self._content_edges.flush(), parts)

    def _accepts_marker(self, target: Section) -> bool:
        if self._is_structured and self._splitter.section in (Section.CONTENT, Section.TOOL_CALL):
            # What a grammar rules has calls at most; the names of other parts are text there.
            if target is Section.REASONING and self.has_begun:
                return False
            if target is self._splitter.section is Section.CONTENT:
                return False
        return self._collector is None or not self._collector.is_in_string

    def _handle_all(self, events: Iterable[SectionText | SectionChange], parts: _Parts) -> None:
        for event in events:
            self.has_begun = True
            if self.is_stopped:
                return
            if isinstance(event, SectionChange):
                self._change(event, parts)
            else:
                self._handle_text(event, parts)

    def _handle_text(self, text: SectionText, parts: _Parts) -> None:
        match text.section:
            case Section.CONTENT:
                self._trim_content(text.fragments, parts)
            case Section.REASONING:
                self._reason(text.fragments, parts)
            case Section.TOOL_CALL:
                assert self._collector is not None
                self._collect(self._collector.feed(text.fragments), parts)
            case Section.HEADER:
                self._hold_header(text.fragments, parts)

    def _change(self, change: SectionChange, parts: _Parts) -> None:
        if change.old is Section.TOOL_CALL and self._collector is not None:
            end_marker = [] if change.new is Section.TOOL_CALL else change.fragments
            self._collect(self._collector.end(end_marker, is_cut=False), parts)
        if change.old is Section.HEADER:
            self._header.take_all()
            self._is_no_header = False
        if change.new is Section.TOOL_CALL and self._collector is not None:
            self._collector.begin(change.fragments if change.old is not Section.REASONING else [])
        elif change.new is Section.REASONING:
            self._reasoning.restart()
        is_dropped_marker = change.old is change.new is Section.CONTENT
        if change.old is Section.REASONING or is_dropped_marker:
            self._content_edges.restart()

    def _reason(self, fragments: Iterable[Fragment], parts: _Parts) -> None:
        for fragment in fragments:
            self.num_reasoning_tokens += fragment.num_tokens
            trimmed = self._reasoning.feed(fragment.as_shown())
            parts.reasoning.extend(each.text for each in trimmed)

    def _collect(self, collected: Collected, parts: _Parts) -> None:
        if collected.deltas:
            self._content_edges.restart()
            parts.tool_calls.extend(collected.deltas)
        self._trim_content(collected.content, parts)
        if self._collector is not None and self._collector.is_finished:
            self._show_content(*self._content.flush(), parts=parts)

    def _hold_header(self, fragments: Iterable[Fragment], parts: _Parts) -> None:
        for fragment in fragments:
            self._header.append(fragment)
        self._is_no_header = self._is_no_header or len(self._header.text) > _MAX_HEADER_CHARS
        if self._is_no_header:
            self._show_header(parts)

    def _show_header(self, parts: _Parts) -> None:
        """The text between two messages was none of a header's: it is the answer."""
        self._trim_content(self._header.take_all(), parts)

    def _trim_content(self, fragments: Iterable[Fragment], parts: _Parts) -> None:
        for fragment in fragments:
            is_minded = fragment.is_special and self._content.minds(fragment.text)
            shown = fragment if is_minded else fragment.as_shown()
            self._show(self._content_edges.feed(shown), parts)

    def _show(self, fragments: Iterable[Fragment], parts: _Parts) -> None:
        for fragment in fragments:
            shown = self._content.feed(
                fragment.text, fragment.logprobs, is_hidden=fragment.is_special and bool(fragment.text)
            )
            self._show_content(*shown, parts=parts)

    def _show_content(self, text: str, logprobs: tuple[TokenLogprob, ...], *, parts: _Parts) -> None:
        parts.content.append(text)
        parts.logprobs.extend(logprobs)
