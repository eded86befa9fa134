"""Splits an answer at the markers of its parts, however the text is cut into pieces."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum, auto

from api.text.token_fragments import Fragment, FragmentQueue


class Section(Enum):
    CONTENT = auto()
    REASONING = auto()
    TOOL_CALL = auto()
    HEADER = auto()


Markers = Mapping[Section, Mapping[str, Section]]
"""The markers that end each section, and the section that each leads to."""


@dataclass(frozen=True, slots=True)
class SectionText:
    """Text of the section that is open."""

    section: Section
    fragments: list[Fragment]


@dataclass(frozen=True, slots=True)
class SectionChange:
    """A marker was met; it is no part of either section's text."""

    old: Section
    new: Section
    fragments: list[Fragment]  # the marker's


class SectionSplitter:
    """Holds back only what may begin a marker; a special token counts by its name.

    ``accepts_marker`` is asked with everything before the marker handled, and told the section that
    it would lead to: while it says no, a marker is text.
    """

    def __init__(self, markers: Markers, section: Section, accepts_marker: Callable[[Section], bool]) -> None:
        self._markers = markers
        self._section = section
        self._accepts_marker = accepts_marker
        self._first_chars = {each: frozenset(m[0] for m in ends) for each, ends in markers.items()}
        self._held = FragmentQueue()

    @property
    def section(self) -> Section:
        """The section that is open."""
        return self._section

    @property
    def open_text(self) -> str:
        """The text at the end that may begin a marker."""
        return self._held.text

    def feed(self, fragment: Fragment) -> Iterator[SectionText | SectionChange]:
        """Yields what is certain; to be exhausted or given up, as it works on the way."""
        self._held.append(fragment)
        yield from self._split(is_last=False)
        certain = self._held.take(len(self._held.text) - self._num_open())
        if certain:
            yield SectionText(self._section, certain)

    def flush(self) -> Iterator[SectionText | SectionChange]:
        """Yields what was held back, at the end of the text."""
        yield from self._split(is_last=True)
        if rest := self._held.take_all():
            yield SectionText(self._section, rest)

    def _split(self, is_last: bool) -> Iterator[SectionText | SectionChange]:
        while (found := self._next_marker(is_last)) is not None:
            start, marker = found
            if before := self._held.take(start):
                yield SectionText(self._section, before)
            target = self._markers[self._section][marker]
            if not self._accepts_marker(target):
                yield SectionText(self._section, self._held.take(1))
                continue
            old, self._section = self._section, target
            yield SectionChange(old, self._section, self._held.take(len(marker)))

    def _next_marker(self, is_last: bool) -> tuple[int, str] | None:
        """Returns the first marker and where it begins; the longest of those that begin there."""
        text = self._held.text
        if self._cannot_begin_marker(text):
            return None
        found = [(text.find(m), -len(m), m) for m in self._markers[self._section] if m in text]
        if not found:
            return None
        start, _, marker = min(found)
        if not is_last and len(text) - self._num_open() < start:
            return None  # one that began earlier is still open
        return start, marker

    def _num_open(self) -> int:
        """Length of the longest end of the held text that begins a marker."""
        text = self._held.text
        if self._cannot_begin_marker(text):
            return 0
        markers = self._markers[self._section]
        for length in range(min(len(text), max(map(len, markers)) - 1), 0, -1):
            if any(marker.startswith(text[-length:]) for marker in markers):
                return length
        return 0

    def _cannot_begin_marker(self, text: str) -> bool:
        return self._first_chars.get(self._section, frozenset()).isdisjoint(text)
