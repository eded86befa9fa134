"""Ends a text at the first stop string, however the text is cut into pieces."""

from __future__ import annotations

from dataclasses import dataclass


class _Matcher:
    """Finds one stop string character by character (Knuth, Morris and Pratt: linear time)."""

    __slots__ = ("_fallback", "_stop", "num_matched")

    def __init__(self, stop: str) -> None:
        self._stop = stop
        self._fallback = _fallback_lengths(stop)
        self.num_matched = 0  # length of the longest end of the text that begins the stop string

    def advance(self, char: str) -> bool:
        """Takes one character; True when it completes the stop string."""
        matched = _extend(self._stop, self._fallback, self.num_matched, char)
        is_complete = matched == len(self._stop)
        self.num_matched = self._fallback[-1] if is_complete else matched
        return is_complete

    @property
    def length(self) -> int:
        return len(self._stop)


def _extend(stop: str, fallback: list[int], matched: int, char: str) -> int:
    while matched and stop[matched] != char:
        matched = fallback[matched - 1]
    return matched + (stop[matched] == char)


def _fallback_lengths(stop: str) -> list[int]:
    """Returns, per length less one, the longest proper prefix of ``stop`` that also ends there."""
    fallback = [0]
    for char in stop[1:]:
        fallback.append(_extend(stop, fallback, fallback[-1], char))
    return fallback


@dataclass(frozen=True, slots=True)
class Passed:
    """Text that is certain."""

    text: str = ""  # what is to be seen of it
    num_chars: int = 0  # of all of it, hidden names included


_NOTHING = Passed()


class StopStrings:
    """Passes text on up to the stop string that begins first; holds back only what may begin one.

    A stop string that is complete while one that began earlier is still open has to wait for it, so
    a stop may also be known only at ``flush``: read ``is_stopped`` after it.

    Names of special tokens are *hidden* text: a stop string may consist of whole ones, among other text,
    and nobody sees them. ``includes_stop`` leaves the stop string at the text's end, whatever it is.
    """

    def __init__(self, stops: tuple[str, ...] = (), *, includes_stop: bool = False) -> None:
        self._stops = tuple(filter(None, stops))
        self._matchers = [_Matcher(stop) for stop in self._stops]
        self._first_chars = frozenset(stop[0] for stop in self._stops)
        self._held = ""
        self._hidden: list[tuple[int, int]] = []  # where in the held text; one may begin before it
        # Where in the held text the best complete stop string begins and ends.
        self._cut: tuple[int, int] | None = None
        self._includes_stop = includes_stop
        self._is_stopped = False

    @property
    def is_stopped(self) -> bool:
        """True once a stop string was met; no more text comes."""
        return self._is_stopped

    def has_part(self, name: str) -> bool:
        """Whether a special token's name may belong to a stop string; others need not be fed."""
        return any(name in stop for stop in self._stops)

    def feed(self, text: str, *, is_hidden: bool = False) -> Passed:
        """Returns the text that is certain to precede any stop string."""
        if self._is_stopped:
            return _NOTHING
        if not self._held and self._first_chars.isdisjoint(text):
            return Passed("" if is_hidden else text, len(text))
        begin = len(self._held)
        self._held += text
        if is_hidden:
            self._hidden.append((begin, len(self._held)))
        for end in range(begin + 1, len(self._held) + 1):
            if self._advance(end):
                return self._stop()
        return self._release()

    def flush(self) -> Passed:
        """Returns what was held back, at the end of the text."""
        if self._cut is not None:
            return self._stop()
        return self._take(len(self._held))

    def _advance(self, end: int) -> bool:
        """Reads the held text's character before ``end``; True when the first stop is certain."""
        for matcher in self._matchers:
            if matcher.advance(self._held[end - 1]) and self._cuts_no_name(end - matcher.length, end):
                found = (end - matcher.length, end)
                self._cut = found if self._cut is None else min(self._cut, found)
        return self._cut is not None and self._cut[0] <= end - self._num_open

    def _cuts_no_name(self, start: int, end: int) -> bool:
        return all(
            end <= first or start >= last or (start <= first and last <= end) for first, last in self._hidden
        )

    @property
    def _num_open(self) -> int:
        """Length of the longest end of the text that begins a stop string."""
        return max(matcher.num_matched for matcher in self._matchers)

    def _stop(self) -> Passed:
        assert self._cut is not None
        start, end = self._cut
        self._is_stopped = True
        before = self._take(start)
        stop = self._held[: end - start] if self._includes_stop else ""
        self._held, self._cut = "", None
        return Passed(before.text + stop, before.num_chars + len(stop))

    def _release(self) -> Passed:
        # An undecided cut lies behind the open beginning that it waits for.
        return self._take(len(self._held) - self._num_open)

    def _take(self, num_chars: int) -> Passed:
        """Removes and returns the first characters of the held text."""
        text, self._held = self._held[:num_chars], self._held[num_chars:]
        shown = text
        for start, end in reversed(self._hidden):
            shown = shown[: max(start, 0)] + shown[max(end, 0) :]
        self._hidden = [
            (start - num_chars, end - num_chars) for start, end in self._hidden if end > num_chars
        ]
        if self._cut is not None:
            self._cut = (self._cut[0] - num_chars, self._cut[1] - num_chars)
        return Passed(shown, num_chars)
