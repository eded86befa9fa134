"""Turns the text of calls, as it comes, into what a client sees of them."""

from __future__ import annotations

import json
import re
import secrets
from dataclasses import dataclass, field

from api.events import ToolCallDelta
from api.text.token_fragments import Fragment, FragmentQueue
from api.text.tool_calls.formats import FILLER, ToolCallFormat, match_header, may_become_bare_call
from api.text.tool_calls.json_object import JsonObjectScanner
from api.text.tool_calls.parsing import parse_calls
from api.types import ToolUse

_MAX_HEADER_CHARS = 512
_JSON_BEGIN = re.compile(FILLER.pattern + r"((?:\[\s*)?\{)")


@dataclass(frozen=True, slots=True)
class Collected:
    """Pieces of calls, or the text of what turned out to be none."""

    deltas: list[ToolCallDelta] = field(default_factory=list)
    content: list[Fragment] = field(default_factory=list)


def new_call_id() -> str:
    return "call_" + secrets.token_hex(12)


class ToolCallCollector:
    """Streams the arguments of calls that have a header; parses others when their end is there.

    Nothing is lost and nothing raises: what is no call of a known function comes back as text,
    markers included, and a call that was cut off while it streamed stays as far as it came.
    """

    def __init__(self, tool_format: ToolCallFormat, tool_use: ToolUse) -> None:
        self._format = tool_format
        self._tool_use = tool_use
        self._headers = tool_format.headers_of(tool_use.callable_names)
        self._marker: list[Fragment] = []
        self._body = FragmentQueue()  # what is not yet reported
        self._arguments: JsonObjectScanner | None = None  # of the call that streams
        self._rest: JsonObjectScanner | None = None  # of the object around those arguments
        self._outline: JsonObjectScanner | None = None  # of JSON that cannot be streamed yet
        self._is_text = False  # what follows is known to be no call
        self._num_complete = 0
        self.num_calls = 0

    @property
    def is_finished(self) -> bool:
        """True when one call was all that was allowed."""
        return self._num_complete > 0 and not self._tool_use.allows_parallel

    @property
    def is_in_string(self) -> bool:
        """True where a marker is a part of an argument."""
        open_object = self._arguments or self._rest or self._outline
        return open_object is not None and open_object.is_in_string

    def begin(self, marker: list[Fragment]) -> None:
        self._marker = marker
        self._outline = None
        self._is_text = False

    def feed(self, fragments: list[Fragment]) -> Collected:
        """Returns what is certain of the calls."""
        for fragment in fragments:
            self._body.append(fragment)
            if self._outline is not None:
                self._outline.feed(fragment.text)
        collected = Collected()
        while self._body.text and not self.is_finished and self._advance(collected):
            pass
        self._begin_outline()
        if self._format.is_bare and self._is_no_call():
            collected.content.extend(self._give_up([]))
        return collected

    def end(self, marker: list[Fragment], *, is_cut: bool) -> Collected:
        """Returns the rest, at the marker or, ``is_cut``, at the answer's end."""
        if self._streamed_all():
            collected = self._end_arguments(is_cut=is_cut)
            self._reset()
            return collected
        may_parse = self._format.parses_unclosed or not is_cut
        calls = parse_calls(self._body.text, self._format, self._tool_use) if may_parse else []
        if not calls:
            return Collected(content=self._give_up(marker))
        self._reset()
        return Collected([self._report(*call) for call in self._allowed(calls)])

    def _end_arguments(self, *, is_cut: bool) -> Collected:
        """A call that was cut stays cut; one that its marker ends is taken as whole."""
        if self._arguments is None:
            return Collected()
        self._num_complete += not is_cut
        rest = self._arguments.flush() if is_cut else self._arguments.close()
        return Collected([ToolCallDelta(self.num_calls - 1, rest)] if rest else [])

    def _streamed_all(self) -> bool:
        """True when nothing but brackets is left of the calls that were streamed, or nothing matters."""
        if self._arguments is not None or self._rest is not None or self.is_finished:
            return True
        if self._marker or not self.num_calls:
            return False
        filler = FILLER.match(self._body.text)
        self._body.take(filler.end() if filler else 0)
        return self._format.end.startswith(self._body.text)  # nothing, or an end marker that was cut off

    def _advance(self, collected: Collected) -> bool:
        """Reports one more piece; False when it takes more text to go on."""
        if self._arguments is not None:
            return self._stream(self._arguments, collected)
        if self._rest is not None:
            return self._skip(self._rest)
        return self._begin_call(collected)

    def _begin_outline(self) -> None:
        """JSON that has its arguments in front, or as a string, may have markers in its strings too."""
        is_known = self._is_text or self._arguments is not None or self._rest is not None
        if is_known or self._outline is not None or len(self._body.text) > _MAX_HEADER_CHARS:
            return
        if begin := _JSON_BEGIN.match(self._body.text):
            self._outline = JsonObjectScanner()
            self._outline.feed(self._body.text[begin.start(1) :])

    def _skip(self, rest: JsonObjectScanner) -> bool:
        self._body.take(rest.feed(self._body.text)[0])
        if rest.is_done:
            self._rest = None
        return True

    def _stream(self, arguments: JsonObjectScanner, collected: Collected) -> bool:
        num_chars, piece = arguments.feed(self._body.text)
        self._body.take(num_chars)
        if piece:
            collected.deltas.append(ToolCallDelta(self.num_calls - 1, piece))
        if arguments.is_done:
            self._arguments = None
            self._num_complete += 1
        return True

    def _begin_call(self, collected: Collected) -> bool:
        if self._is_text or len(self._body.text) > _MAX_HEADER_CHARS:
            return False
        header = match_header(self._headers, self._body.text)
        name = _read_name(header[1]) if header else None
        if header is None or name not in self._tool_use.callable_names:
            return False
        self._body.take(header.end())
        self._marker = []
        self._outline = None
        self._arguments = JsonObjectScanner()
        self._rest = JsonObjectScanner(depth=1) if header[1].startswith('"') else None
        collected.deltas.append(ToolCallDelta(self.num_calls, call_id=new_call_id(), name=name))
        self.num_calls += 1
        return True

    def _is_no_call(self) -> bool:
        """True as soon as an answer in a format without markers is plain text."""
        if self._arguments is not None or self.num_calls:
            return False
        return self._is_text or not may_become_bare_call(self._body.text, _MAX_HEADER_CHARS)

    def _give_up(self, end_marker: list[Fragment]) -> list[Fragment]:
        """Returns all that was taken for a call, as text."""
        fragments = [*self._marker, *self._body.take_all(), *end_marker]
        self._marker = []
        self._outline = None
        self._is_text = True
        if self._format.is_bare:
            return fragments  # plain text: its special tokens are no part of a call
        return [fragment.as_text() for fragment in fragments]

    def _allowed(self, calls: list[tuple[str, str]]) -> list[tuple[str, str]]:
        return calls if self._tool_use.allows_parallel else calls[:1]

    def _report(self, name: str, arguments: str) -> ToolCallDelta:
        delta = ToolCallDelta(self.num_calls, arguments, new_call_id(), name)
        self.num_calls += 1
        self._num_complete += 1
        return delta

    def _reset(self) -> None:
        self._marker = []
        self._body.take_all()
        self._arguments = self._rest = self._outline = None


def _read_name(text: str) -> str | None:
    """Returns the name in a header, which is JSON or bare."""
    if not text.startswith('"'):
        return text
    try:
        return str(json.loads(text))
    except ValueError:
        return None
