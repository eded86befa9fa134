"""The whitespace beside a marker belongs to nobody."""

from __future__ import annotations

from api.text.token_fragments import Fragment, FragmentQueue


def num_blank_line_chars(text: str) -> int:
    """The length of the blank lines that a text begins with."""
    num_blank = len(text) - len(text.lstrip())
    return text.rfind("\n", 0, num_blank) + 1


class EdgeTrimmer:
    """Passes text on but for the newlines at its beginning and the whitespace before a marker.

    Spaces of the first line stay: they indent it. ``holds_end`` keeps whitespace back until more
    text shows that no marker follows.
    """

    def __init__(self, *, trims_start: bool, holds_end: bool) -> None:
        self._is_at_start = trims_start
        self._holds_end = holds_end
        self._held = FragmentQueue()

    def restart(self) -> None:
        """A marker was met: drops the whitespace before it and what newlines follow."""
        self._held.take_all()
        self._is_at_start = True

    def end_start(self) -> None:
        """Counts what follows as text, whatever it is; what came so far loses its blank lines."""
        if self._is_at_start:
            self._held.take(num_blank_line_chars(self._held.text))
            self._is_at_start = False

    def feed(self, fragment: Fragment) -> list[Fragment]:
        self._held.append(fragment)
        if self._is_at_start and not self._drop_newlines():
            return []
        text = self._held.text
        return self._held.take(len(text.rstrip() if self._holds_end else text))

    def flush(self) -> list[Fragment]:
        """Returns the whitespace that no marker followed, at the end of the text."""
        rest = self._held.take_all()
        return [] if self._is_at_start else rest

    def _drop_newlines(self) -> bool:
        """Drops all up to the first line that has text; False while none has."""
        text = self._held.text
        if not text.strip():
            return False
        self._held.take(num_blank_line_chars(text))
        self._is_at_start = False
        return True
