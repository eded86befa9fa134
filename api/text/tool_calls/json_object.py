"""Finds the end of a JSON object while it is being written."""

from __future__ import annotations

import re

# All that matters outside of strings, and all that matters inside.
_STRUCTURE = re.compile(r'["{}\[\]]')
_STRING_END = re.compile(r'["\\]')


class JsonObjectScanner:
    """Counts brackets outside of strings; whether the object is valid otherwise is not its business."""

    def __init__(self, *, depth: int = 0) -> None:
        """``depth``: how many brackets are open before the text."""
        self._depth = depth
        self._is_escaped = False  # the next character is the second of an escape
        self.is_in_string = False
        self.is_done = False

    def feed(self, text: str) -> int:
        """Returns how many characters of ``text`` belong to the object."""
        position = 0
        while position < len(text) and not self.is_done:
            position = self._scan_string(text, position) if self.is_in_string else self._scan(text, position)
        return position

    def _scan(self, text: str, position: int) -> int:
        match = _STRUCTURE.search(text, position)
        if match is None:
            return len(text)
        if match[0] == '"':
            self.is_in_string = True
        else:
            self._depth += 1 if match[0] in "{[" else -1
            self.is_done = self._depth <= 0
        return match.end()

    def _scan_string(self, text: str, position: int) -> int:
        if self._is_escaped:
            self._is_escaped = False
            return position + 1
        match = _STRING_END.search(text, position)
        if match is None:
            return len(text)
        if match[0] == "\\":
            self._is_escaped = True
        else:
            self.is_in_string = False
        return match.end()
