"""Predicts how a text goes on from the last time that it went like this: prompt lookup, or n-grams.

The idea is that of "Prompt Lookup Decoding" (Saxena, 2023); the index is the one that LZ77 compressors have:
for each pair of tokens a chain of the places where it occurred, the latest first.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence

# A match is at least a pair; beyond the longest length places count as equally good, and the latest wins.
_LONGEST_COMPARED = 16
_MOST_CANDIDATES = 16  # places that are looked at: a common pair occurs everywhere
_MOST_INDEXED_TOKENS = 131_072  # of what is known at first; about 150 bytes each


class PromptLookup:
    """An index over one sequence's tokens, and the place that matches their end best.

    ``token_ids`` is the sequence's own list, which only ever grows; ``take`` follows it token by token. A
    prediction is for the token behind the list's end, so it is there only while ``num_new`` is 0.
    """

    def __init__(self, token_ids: Sequence[int]) -> None:
        self._token_ids = token_ids
        self._first = max(0, len(token_ids) - _MOST_INDEXED_TOKENS)
        self._before = array("q")  # of each token: the place before it that follows the same pair, 0 for none
        self._last: dict[int, int] = {}  # pair -> the latest place that follows it
        self._next = 0  # the place whose token is predicted to come; 0: no match
        self.match_length = 0  # tokens that agree before it; 0: no match

    @property
    def num_taken(self) -> int:
        """Tokens of the list that the index knows."""
        return self._first + len(self._before)

    @property
    def num_new(self) -> int:
        """Tokens of the list that the index does not know yet."""
        return len(self._token_ids) - self.num_taken

    @property
    def predicted(self) -> int | None:
        return self._token_ids[self._next] if self.match_length else None

    def take(self) -> bool:
        """Takes in the next token; returns whether it is the predicted one. IndexError when there is none."""
        place = self.num_taken
        if self._token_ids[place] != self.predicted:
            self.take_many(1)
            return False
        self._insert(place)
        self._next += 1
        self.match_length += 1
        return True

    def take_many(self, num_tokens: int) -> None:
        """The same for so many tokens, faster: what was predicted for them is not followed."""
        for place in range(self.num_taken, self.num_taken + num_tokens):
            self._insert(place)
        self.match_length = 0
        if not self.num_new:
            self._find()

    def predict(self, num_tokens: int) -> tuple[int, ...]:
        """The next tokens; () without a match. One that reaches the text's end repeats itself."""
        if not self.match_length:
            return ()
        found = tuple(self._token_ids[self._next : self._next + num_tokens])
        return (found * -(-num_tokens // len(found)))[:num_tokens]

    def _insert(self, place: int) -> None:
        before = 0
        if place - self._first >= 2:
            pair = self._pair(place)
            before = self._last.get(pair, 0)
            self._last[pair] = place
        self._before.append(before)

    def _find(self) -> None:
        """Looks for the longest match of the end, the latest among equals."""
        end, best, length = self.num_taken, 0, 0
        place = self._last.get(self._pair(end), 0) if end >= 2 else 0
        for _ in range(_MOST_CANDIDATES):
            if not place or length >= _LONGEST_COMPARED:
                break
            common = self._common_length(place, end)
            if common > length:
                best, length = place, common
            place = self._before[place - self._first]
        self._next, self.match_length = best, length

    def _common_length(self, place: int, end: int) -> int:
        """How many tokens before the two places agree; the pair does."""
        token_ids, length = self._token_ids, 2
        most = min(_LONGEST_COMPARED, place - self._first)
        while length < most and token_ids[place - 1 - length] == token_ids[end - 1 - length]:
            length += 1
        return length

    def _pair(self, place: int) -> int:
        """The two tokens before a place, as one number."""
        return self._token_ids[place - 2] << 32 | self._token_ids[place - 1]
