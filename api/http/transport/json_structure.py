"""Counts what a JSON text is made of, before anything is built of it.

A parser builds objects in one call during which no other thread runs, so their number is bounded first.
The text is looked at in windows, in calls of a millisecond at most.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from api.errors import InvalidRequestError
from api.server_handler import ServedModel

# What the requests of any client stay far below, and what is parsed within the time of a step.
_ANY_CONTAINERS, _ANY_KEYS, _ANY_STRINGS, _ANY_VALUES = 16_384, 65_536, 131_072, 1_000_000

_WINDOW_BYTES = 256 * 1024
_MARKS = b'"[{:,'
_OTHER_BYTES = bytes(set(range(256)) - set(_MARKS))


@dataclass(slots=True)
class JsonStructure:
    """Numbers of things in a text; exact where the text is JSON."""

    num_containers: int = 0  # arrays and objects
    num_keys: int = 0
    num_strings: int = 0
    num_commas: int = 0

    @property
    def num_values(self) -> int:
        """At most: keys, elements, and the first element of each container."""
        return self.num_containers + self.num_keys + self.num_commas


@dataclass(frozen=True, slots=True)
class JsonLimits:
    """How much of each a body may have."""

    max_containers: int
    max_keys: int
    max_strings: int  # keys among them
    max_values: int

    @classmethod
    def of(cls, served: ServedModel) -> JsonLimits:
        """More for long contexts, where a message of a few tokens is three containers, and for biases."""
        num_tokens = served.context_length
        return cls(
            max_containers=_ANY_CONTAINERS + num_tokens // 2,
            max_keys=_ANY_KEYS + num_tokens + served.vocab_size,
            max_strings=_ANY_STRINGS + 2 * num_tokens + served.vocab_size,
            max_values=_ANY_VALUES + num_tokens,
        )

    def check(self, structure: JsonStructure) -> None:
        """Raises InvalidRequestError with the limit that is exceeded."""
        numbers = (
            ("arrays and objects", structure.num_containers, self.max_containers),
            ("keys", structure.num_keys, self.max_keys),
            ("strings", structure.num_strings, self.max_strings),
            ("values", structure.num_values, self.max_values),
        )
        for kind, number, most in numbers:
            if number > most:
                message = f"The request body has {number} JSON {kind}; the limit for this model is {most}."
                raise InvalidRequestError(message, code="request_too_complex")


def structure_of(text: bytes) -> JsonStructure:
    structure = JsonStructure()
    num_quotes = 0
    for marks, num_more_quotes in _marks_outside_strings(text):
        num_quotes += num_more_quotes
        structure.num_containers += marks.count(b"[") + marks.count(b"{")
        structure.num_keys += marks.count(b":")
        structure.num_commas += marks.count(b",")
    structure.num_strings = num_quotes // 2
    return structure


def _marks_outside_strings(text: bytes) -> Iterator[tuple[bytes, int]]:
    """Yields a window's marks, and how many quotes it has."""
    first_outside = 0  # of a window's pieces: 1 where it begins within a string
    for window in _windows(text):
        unescaped = window.replace(b"\\\\", b"").replace(b'\\"', b"")
        pieces = unescaped.translate(None, _OTHER_BYTES).split(b'"')
        num_quotes = len(pieces) - 1
        yield b"".join(pieces[first_outside::2]), num_quotes
        first_outside ^= num_quotes & 1


def _windows(text: bytes) -> Iterator[bytes]:
    """No window ends between a backslash and what it escapes."""
    start = 0
    while start < len(text):
        window = text[start : start + _WINDOW_BYTES]
        if (len(window) - len(window.rstrip(b"\\"))) % 2:
            window = text[start : start + _WINDOW_BYTES + 1]
        yield window
        start += len(window)
