"""Which tokens write a marker, by their texts: alone, or together with what stands beside it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

from api.text.tokenizer import Tokenizer

_SPACE_NAMES = "\u2581\u0120 "  # how names write a space before a word


class MarkerTexts:
    """The texts of the tokens that may be parts of some markers; the others are not even looked at."""

    def __init__(self, tokenizer: Tokenizer, markers: Iterable[str]) -> None:
        self.tokenizer = tokenizer
        self.following: dict[int, str] = {}  # by token id: its text behind others
        self.first: dict[int, str] = {}  # its text at the very start
        found = tuple(markers)
        may_be_part = re.compile("|".join(map(_rough_expression, found))).search
        for token_id, name in enumerate(tokenizer.token_strings()):
            if name and may_be_part(name) and any(_may_be_part_of(marker, name) for marker in found):
                text = tokenizer.token_text(token_id)
                self.following[token_id] = text
                # Decoders drop a text's first space and nothing else.
                starts_word = text.startswith(" ")
                self.first[token_id] = tokenizer.token_text(token_id, is_first=True) if starts_word else text


def _rough_expression(marker: str) -> str:
    """Finds all tokens of a marker among others: those with its last character, or with no other's."""
    return f"{re.escape(marker[-1])}|^[{re.escape(marker + _SPACE_NAMES)}]*$" if marker.isascii() else ""


def _may_be_part_of(marker: str, name: str) -> bool:
    """Whether a token may lie within a marker or reach over its end; names spell ASCII as it is."""
    word = name.strip(_SPACE_NAMES)
    if word in marker or not marker.isascii():
        return True
    head, last, _ = word.partition(marker[-1])
    return bool(last) and (head + last in marker or marker.strip() in word)


class MarkerTokens:
    """The tokens that go on with a marker, by how many of its characters are written."""

    def __init__(self, marker: str, texts: MarkerTexts, never_with: str | None = None) -> None:
        """``never_with``: tokens that bring this text too are left out where a choice is offered."""
        self.marker = marker
        self._never_with = never_with
        self._tokenizer = texts.tokenizer
        self._texts = texts.following
        places = range(len(marker) + 1)
        self._parts = [_parts(marker[place:], texts.following) for place in places]
        self._longer = [_longer(marker[place:], texts.following) for place in places]
        self._containing = [i for i, text in texts.following.items() if marker in text]
        # What a model writes that knows the marker as one token; its letters alone are something else.
        self._only_token = next((i for i in self._parts[0] if self._texts[i] == marker), None)
        can_end = self._find_ways()
        self._going_on = [self._usable(place, can_end) for place in places]
        self._closing = [self._find_closing(place, can_end) for place in places]
        self.first_token_ids = self._first(texts.first, can_end)

    def going_on(self, num_written: int) -> Sequence[int]:
        """The tokens by which a model may go on to write the marker; its last one may bring more text."""
        return self._going_on[num_written]

    def closing(self, num_written: int) -> Sequence[int]:
        """The best token that goes on with the marker and brings nothing else, and those that complete it."""
        return self._closing[num_written]

    def completing(self, written: str) -> Iterator[tuple[int, str]]:
        """The tokens that complete the marker after a text and bring more, each with what is behind it."""
        places = [n for n in range(1, len(self.marker)) if written.endswith(self.marker[:n])]
        for token_id in dict.fromkeys([*self._containing, *(i for n in places for i in self._longer[n])]):
            _, marker, rest = (written + self._texts[token_id]).partition(self.marker)
            if marker and rest:
                yield token_id, rest

    def _find_ways(self) -> list[bool]:
        """Whether there is a way of tokens to the marker's end from each place."""
        can_end = [False] * len(self.marker) + [True]
        for place in reversed(range(len(self.marker))):
            ends = (place + len(self._texts[token_id]) for token_id in self._parts[place])
            can_end[place] = bool(self._longer[place]) or any(can_end[end] for end in ends)
        return can_end

    def _usable(self, place: int, can_end: Sequence[bool]) -> tuple[int, ...]:
        longer = filter(self._is_single, self._longer[place])
        if self._only_token is not None:
            return () if place else (self._only_token, *longer)
        return (*(i for i in self._parts[place] if can_end[place + len(self._texts[i])]), *longer)

    def _find_closing(self, place: int, can_end: Sequence[bool]) -> tuple[int, ...]:
        whole = [i for i in self._parts[place] if self._texts[i] == self.marker[place:]]
        best = self._only_token if self._only_token is not None else self._choose(place, can_end)
        return tuple(dict.fromkeys([*([] if best is None else [best]), *whole, *self._longer[place]]))

    def _choose(self, place: int, can_end: Sequence[bool]) -> int | None:
        parts = [i for i in self._parts[place] if can_end[place + len(self._texts[i])]]
        usual = self._tokenizer.encode(self.marker[place:])[:1] if parts else []
        return usual[0] if usual and usual[0] in parts else max(parts, key=self._length, default=None)

    def _first(self, texts: Mapping[int, str], can_end: Sequence[bool]) -> tuple[int, ...]:
        """The tokens that may begin the marker as a text's first token."""
        whole = [i for i, text in texts.items() if text.startswith(self.marker) and self._is_single(i)]
        if self._only_token is not None:
            return tuple(whole)
        return (*(i for i in _parts(self.marker, texts) if can_end[len(texts[i])]), *whole)

    def _length(self, token_id: int) -> int:
        return len(self._texts[token_id])

    def _is_single(self, token_id: int) -> bool:
        return self._never_with is None or self._never_with not in self._texts[token_id]


def _parts(rest: str, texts: Mapping[int, str]) -> list[int]:
    """The tokens that begin what is left of a marker, or are it."""
    return [token_id for token_id, text in texts.items() if text and rest.startswith(text)]


def _longer(rest: str, texts: Mapping[int, str]) -> list[int]:
    """The tokens that are what is left of a marker and more."""
    if not rest:
        return []
    return [i for i, text in texts.items() if text.startswith(rest) and len(text) > len(rest)]
