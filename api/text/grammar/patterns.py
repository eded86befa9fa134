r"""Translates a schema's regular expressions from ECMAScript's dialect to that of Rust's ``regex``.

The dialects agree on most of what people write and silently differ in the rest: a class may hold
operators there (``[a&&b]``, ``[[a]]``), ``.`` matches other line ends, ``\d`` and its like know other
characters. Validators differ too (``\w`` is ASCII in ECMAScript, Unicode in Python), so what may be
generated is what all of them accept: the narrow reading, and its complement's where it is negated.
"""

from __future__ import annotations

import re

from api.text.grammar.errors import GrammarError

_SPACES = (
    r"\x1c-\x20\t-\r\x{85}\x{a0}\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}\x{205f}\x{3000}\x{feff}"
)
_NARROW = {
    "d": "0-9",
    "w": "0-9A-Za-z_",
    "s": r"\t\n\x0b\x0c\r ",
    "D": r"\P{Nd}",
    "W": r"[^\p{Alphabetic}\p{M}\p{N}\p{Pc}]",
    "S": f"[^{_SPACES}]",
}
_WIDE = {
    "d": r"\p{Nd}",
    "w": r"\p{Alphabetic}\p{M}\p{N}\p{Pc}",
    "s": _SPACES,
    "D": "[^0-9]",
    "W": "[^0-9A-Za-z_]",
    "S": r"[^\t\n\x0b\x0c\r ]",
}
_ANY_CHARACTER = r"(?s:.)"
_NO_LINE_END = r"[^\n\r\x{2028}\x{2029}]"
_GROUP = re.compile(r"\((?:\?(?::|P?<([A-Za-z_]\w*)>))?")
_REPEAT = re.compile(r"\{\d+(?:,\d*)?\}")
_HEX = re.compile(r"u\{([0-9A-Fa-f]{1,6})\}|u([0-9A-Fa-f]{4})|x([0-9A-Fa-f]{2})")
_PROPERTY = re.compile(r"[pP]\{[\w=]+\}")
_SET = re.compile(r"\\[dwsDWSpP]")
_SET_END = re.compile(r"(?<!\\)(?:\\\\)*\\(?:[dwsDWS]|[pP]\{[\w=]+\})\Z")
_CONTROL_ESCAPES = {"t": r"\t", "n": r"\n", "r": r"\r", "f": r"\x0c", "v": r"\x0b", "0": r"\x00"}


def translate(pattern: str) -> str:
    """Returns the expression for llguidance, which searches unless it is anchored.

    Raises GrammarError for what has no equivalent: look-around, back references, word boundaries.
    """
    return _Translation(pattern).run()


class _Translation:
    """One pass from left to right."""

    def __init__(self, pattern: str) -> None:
        self._pattern = pattern
        self._position = 0

    def run(self) -> str:
        pieces = []
        while self._position < len(self._pattern):
            pieces.append(self._next())
        return "".join(pieces)

    def _next(self) -> str:
        character = self._take()
        match character:
            case "\\":
                return self._escape(is_negated=False, in_class=False)
            case "[":
                return self._class()
            case "(":
                return self._group()
            case "{":
                return self._repeat()
            case ".":
                return _NO_LINE_END
            case "+" | "*" | "?":
                return character + self._quantifier_end()
        return character

    def _quantifier_end(self) -> str:
        """Drops the mark of a lazy quantifier: it changes what is captured, not what matches."""
        if self._peek("+"):
            raise self._error("possessive quantifiers are not supported")
        self._position += self._peek("?")
        return ""

    def _take(self) -> str:
        if self._position >= len(self._pattern):
            raise self._error("it ends too early")
        self._position += 1
        return self._pattern[self._position - 1]

    def _peek(self, text: str) -> bool:
        return self._pattern.startswith(text, self._position)

    def _error(self, reason: str) -> GrammarError:
        return GrammarError(f"regular expression {self._pattern[:100]!r}: {reason}")

    def _match(self, expression: re.Pattern[str], start: int) -> re.Match[str] | None:
        found = expression.match(self._pattern, start)
        self._position = found.end() if found else self._position
        return found

    def _group(self) -> str:
        found = self._match(_GROUP, self._position - 1)
        if found is None or self._peek("?"):
            raise self._error("look-around and flags are not supported")
        return "(?:"

    def _repeat(self) -> str:
        found = self._match(_REPEAT, self._position - 1)
        if found is None:
            raise self._error("a literal '{' must be escaped")
        return found.group() + self._quantifier_end()

    def _class(self) -> str:
        is_negated = self._peek("^")
        self._position += is_negated
        if self._peek("]"):
            return self._empty_class(is_negated)
        pieces = []
        while (character := self._take()) != "]":
            pieces.append(self._class_piece(character, is_negated))
        return f"[{'^' if is_negated else ''}{''.join(pieces)}]"

    def _empty_class(self, is_negated: bool) -> str:
        """ECMAScript's ``[^]`` and ``[]``; elsewhere the bracket would be a member."""
        if not is_negated or "]" in self._pattern[self._position + 1 :]:
            raise self._error("a ']' that begins a class must be escaped")
        self._position += 1
        return _ANY_CHARACTER

    def _class_piece(self, character: str, is_negated: bool) -> str:
        if character == "\\":
            return self._escape(is_negated, in_class=True)
        if character == "-":
            return self._hyphen()
        return f"\\{character}" if character in "[&~" else character

    def _hyphen(self) -> str:
        r"""It is a range's only between two characters: never beside a ``\w`` or its like."""
        if self._peek("-"):
            raise self._error("a '-' beside another must be escaped")
        is_literal = _SET.match(self._pattern, self._position) or _SET_END.search(
            self._pattern, 0, self._position - 1
        )
        return r"\-" if is_literal else "-"

    def _escape(self, is_negated: bool, *, in_class: bool) -> str:
        character = self._take()
        if character in _NARROW:
            piece = (_WIDE if is_negated else _NARROW)[character]
            return piece if in_class else f"[{piece}]"
        if character in _CONTROL_ESCAPES:
            return _CONTROL_ESCAPES[character]
        if character == "b" and in_class:
            return r"\x08"
        if found := self._match(_HEX, self._position - 1):
            return self._code_point(int(found[1] or found[2] or found[3], 16))
        if found := self._match(_PROPERTY, self._position - 1):
            return f"\\{found.group()}"
        if character.isalnum():
            raise self._error(f"'\\{character}' is not supported")
        return re.escape(character)

    def _code_point(self, code: int) -> str:
        if 0xD800 <= code <= 0xDFFF or code > 0x10FFFF:
            raise self._error("surrogates are not supported")
        return f"\\x{{{code:x}}}"
