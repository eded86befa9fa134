"""A predicted answer, and how far the answer follows it: OpenAI's predicted outputs.

An answer begins where the prediction does. Where it goes another way, the place at which it comes back is
found by the tokens that it has in common with the prediction: tokens of a text around an edit may be cut
in other places, so a change of one word may be one of three tokens.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict, deque
from collections.abc import Sequence as Items
from itertools import pairwise

from api.engine.sequences.chances import Chances

_START_LENGTH = 4  # the beginning is expected as much as what follows so many tokens
_LONGEST_COMPARED = 16  # beyond it places count as equally good
_MOST_CANDIDATES = 8  # places that are looked at in each direction: a common pair occurs everywhere
_NEAR_TOKENS = 16  # so near behind the place that was left a single token is enough
# For matches of 1 token, of 2 to 3, of 4 to 7, of 8 to 15, of 16 to 31 and of more. The client expects all of
# it to come, so these are higher than those of repeats.
_FIRST_CHANCES = (0.4, 0.75, 0.9, 0.95, 0.97, 0.99)
_DOUBTFUL_CHANCES = (0.3, 0.35, 0.6, 0.8, 0.9, 0.95)  # where already the answer's first token is another


class PredictedText:
    """The tokens and an index of their pairs; never changes, so all choices of a request share it."""

    def __init__(self, token_ids: Items[int]) -> None:
        self.token_ids = tuple(token_ids)
        self._places: defaultdict[tuple[int, int], list[int]] = defaultdict(list)
        for place, pair in enumerate(pairwise(self.token_ids), 2):
            self._places[pair].append(place)

    def __len__(self) -> int:
        return len(self.token_ids)

    def places_behind(self, pair: tuple[int, int], near: int) -> list[int]:
        """Where a pair of tokens ends: the nearest from a place on, then the nearest before it."""
        places = self._places.get(pair, [])
        middle = bisect_left(places, near)
        before = places[max(0, middle - _MOST_CANDIDATES) : middle]
        return places[middle : middle + _MOST_CANDIDATES] + before[::-1]


class Prediction:
    """One answer's way through a predicted text.

    ``num_accepted`` counts the tokens of the text that the answer has followed, each once, in runs of two
    or more and from the beginning; it depends on the answer alone, not on what was proposed.
    """

    def __init__(self, text: PredictedText) -> None:
        self.num_accepted = 0
        self._text = text
        self._chances = Chances(_FIRST_CHANCES)
        self._recent: deque[int] = deque(maxlen=_LONGEST_COMPARED)  # the answer's last tokens
        self._is_accepted = bytearray(len(text))
        self._num_uncounted = 0  # last tokens of the answer that may yet turn out to follow the text
        self._next = 0  # the place of the token that is expected; the text's end: none
        self._left = 0  # the last place that was followed for sure
        self._match_length = _START_LENGTH  # tokens that agree before the place; 0: it is not known

    def take(self, token_id: int) -> None:
        """Takes in the answer's next token."""
        is_expected = token_id == self._expected
        if not self._recent and not is_expected:
            self._chances = Chances(_DOUBTFUL_CHANCES)
        elif self._match_length and self._next < len(self._text):
            self._chances.record(self._match_length, is_expected)
        self._recent.append(token_id)
        self._num_uncounted = min(self._num_uncounted + 1, _LONGEST_COMPARED)
        if is_expected:
            self._next += 1
            self._match_length += 1
        else:
            self._next, self._match_length = self._find()
        if self._match_length >= 2:
            self._left = self._next
            self._count()

    def gains(self, num_tokens: int, *, is_behind: bool) -> list[float]:
        """As those of ``Chances``, for the tokens that come next in the text."""
        num_left = len(self._text) - self._next - int(is_behind)
        return self._chances.gains(self._match_length, min(num_tokens, num_left), is_behind=is_behind)

    def predict(self, num_tokens: int) -> tuple[int, ...]:
        """The next tokens; () where the place is not known."""
        return self._text.token_ids[self._next : self._next + num_tokens] if self._match_length else ()

    @property
    def num_rejected(self) -> int:
        """Tokens of the text that the answer has not followed: refuted, or never reached."""
        return len(self._text) - self.num_accepted

    @property
    def _expected(self) -> int | None:
        is_known = self._match_length and self._next < len(self._text)
        return self._text.token_ids[self._next] if is_known else None

    def _find(self) -> tuple[int, int]:
        """The place that fits the answer's end best and the tokens that agree; the nearest of equals."""
        *_, last = recent = tuple(self._recent)
        places = self._text.places_behind((recent[-2], last), self._left) if len(recent) > 1 else ()
        length, best = 0, self._left
        for place in places:
            common = self._common_length(place, recent)
            if common > length:
                length, best = common, place
        return (best, length) if length else self._find_near(last)

    def _common_length(self, place: int, recent: tuple[int, ...]) -> int:
        length, most = 2, min(place, len(recent))
        while length < most and self._text.token_ids[place - 1 - length] == recent[-1 - length]:
            length += 1
        return length

    def _find_near(self, token_id: int) -> tuple[int, int]:
        near = self._text.token_ids[self._left : self._left + _NEAR_TOKENS]
        return (self._left + near.index(token_id) + 1, 1) if token_id in near else (self._left, 0)

    def _count(self) -> None:
        first = self._next - min(self._match_length, self._num_uncounted)
        for place in range(first, self._next):
            self.num_accepted += 1 - self._is_accepted[place]
            self._is_accepted[place] = 1
        self._num_uncounted = 0
