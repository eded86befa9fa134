"""Reads a JSON object while it is being written: finds its end, and mends the small things on the way."""

from __future__ import annotations

import json
import re

# What passes as it is: outside of strings, and inside of those that the quote began.
_PLAIN = {
    "": re.compile(r"""[^"',\[\]{}TFN]+"""),
    '"': re.compile(r'[^"\\\x00-\x1f]+'),
    "'": re.compile(r"""[^"'\\\x00-\x1f]+"""),
}
_ESCAPES = frozenset('"\\/bfnrtu')
_LITERALS = {"True": "true", "False": "false", "None": "null"}


class JsonObjectScanner:
    """Counts brackets outside of strings, and gives the text back as valid JSON where that is certain.

    Mended are commas before a closing bracket, brackets that are missing at the end, raw control characters
    and unknown escapes in strings, and what Python writes otherwise: single quotes, ``True``, ``False``,
    ``None``. Whether the object is valid apart from these is not its business.
    """

    def __init__(self, *, depth: int = 0) -> None:
        """``depth``: how many brackets are open before the text."""
        self._closers = ["}"] * depth  # of the brackets that are open
        self._quote = ""  # what began the string that is open
        self._last = ""  # the last character outside of strings that is no blank
        self._held = ""  # was read, but what follows decides what becomes of it
        self.is_done = False

    @property
    def is_in_string(self) -> bool:
        """True in JSON's own strings: those in single quotes may end at any apostrophe."""
        return self._quote == '"'

    def feed(self, text: str) -> tuple[int, str]:
        """Returns how many characters of ``text`` belong to the object, and what is certain of it."""
        certain: list[str] = []
        position = 0
        while position < len(text) and not self.is_done:
            plain = None if self._held else _PLAIN[self._quote].match(text, position)
            if plain:
                position = plain.end()
                certain.append(self._pass(plain[0]))
            elif self._takes_held(text[position], certain):
                position += 1
        return position, "".join(certain)

    def flush(self) -> str:
        """Returns what was held back where the text was cut."""
        held, self._held = self._held, ""
        return '"' if held.startswith("'") else held

    def close(self) -> str:
        """Returns what was held back where the object was to end, and the brackets that were forgotten."""
        may_end = not self._quote or self._held.startswith("'")
        if not may_end or (self._last == ":" and not self._held):
            return self.flush()
        last = self._release("}") if self._held else ""
        return last + "".join(reversed(self._closers))

    def _pass(self, text: str) -> str:
        if not self._quote:
            self._last = text.rstrip()[-1:] or self._last
        return text

    def _takes_held(self, char: str, certain: list[str]) -> bool:
        """Reads a character that matters; False where it decided on what was held and is to be read again."""
        match self._held[:1]:
            case "":
                certain.append(self._read_in_string(char) if self._quote else self._read(char))
                return True
            case "\\":
                certain.append(self._escape(char))
                return True
        goes_on = char.isspace() if self._held[0] in ",'" else char.isalpha() and len(self._held) < 5
        if goes_on:
            self._held += char
            return True
        certain.append(self._release(char))
        return False

    def _read(self, char: str) -> str:
        if char in "TFN,":
            self._held = char
            return ""
        if char == '"' or (char == "'" and self._last in "{[,:"):
            self._quote = char
            return '"'
        if char in "{[":
            self._closers.append("}" if char == "{" else "]")
        elif char in "}]":
            del self._closers[-1:]
            self.is_done = not self._closers
        self._last = char
        return char

    def _read_in_string(self, char: str) -> str:
        if char in ("\\", "'"):
            self._held = char
            return ""
        if char == self._quote:
            self._quote, self._last = "", char
            return char
        return json.dumps(char)[1:-1]  # a control character, or a double quote between single ones

    def _escape(self, char: str) -> str:
        self._held = ""
        if char == "'":
            return char
        return "\\" + char if char in _ESCAPES else "\\\\" + json.dumps(char, ensure_ascii=False)[1:-1]

    def _release(self, char: str) -> str:
        """Decides on what was held, by the character behind it."""
        held, self._held = self._held, ""
        if held[0] == ",":
            self._last = ","
            return held[1:] if char in "}]" else held
        if held[0] == "'":
            if char not in ",:}]":
                return json.dumps(held, ensure_ascii=False)[1:-1]
            self._quote, self._last = "", held[0]
            return '"' + held[1:]
        self._last = held[-1]
        return _LITERALS.get(held, held)


def valid_json(text: str) -> str:
    """Returns a whole text as it is, or mended where that makes it valid. Raises ValueError."""
    try:
        json.loads(text)
    except ValueError:
        scanner = JsonObjectScanner(depth=1)
        num_chars, certain = scanner.feed(text)
        text = certain + scanner.flush() + text[num_chars:]
        json.loads(text)
    return text
