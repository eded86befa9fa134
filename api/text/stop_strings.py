"""Ends a text at the first stop string, however the text is cut into pieces."""

from __future__ import annotations


class _Matcher:
    """Finds one stop string character by character (Knuth, Morris and Pratt: linear time)."""

    __slots__ = ("_fallback", "_stop", "num_matched")

    def __init__(self, stop: str) -> None:
        self._stop = stop
        self._fallback = _fallback_lengths(stop)
        self.num_matched = 0  # length of the longest end of the text that begins the stop string

    def advance(self, char: str) -> bool:
        """Takes one character; True when it completes the stop string, after which none matters."""
        matched = _extend(self._stop, self._fallback, self.num_matched, char)
        is_complete = matched == len(self._stop)
        self.num_matched = 0 if is_complete else matched
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


class StopStrings:
    """Passes text on up to the stop string that begins first; holds back only what may begin one.

    A stop string that is complete while one that began earlier is still open has to wait for it, so
    a stop may also be known only at ``flush``: read ``is_stopped`` after it.

    ``includes_stop`` leaves the stop string at the text's end.
    """

    def __init__(self, stops: tuple[str, ...] = (), *, includes_stop: bool = False) -> None:
        self._matchers = [_Matcher(stop) for stop in stops if stop]
        self._first_chars = frozenset(stop[0] for stop in stops if stop)
        self._held = ""
        # Where in the held text the best complete stop string begins and ends.
        self._cut: tuple[int, int] | None = None
        self._includes_stop = includes_stop
        self._is_stopped = False

    @property
    def is_stopped(self) -> bool:
        """True once a stop string was met; no more text comes."""
        return self._is_stopped

    def feed(self, text: str) -> str:
        """Returns the text that is certain to precede any stop string."""
        if self._is_stopped:
            return ""
        if not self._held and self._first_chars.isdisjoint(text):
            return text
        begin = len(self._held)
        self._held += text
        for end in range(begin + 1, len(self._held) + 1):
            if self._advance(end):
                return self._stop()
        return self._release()

    def flush(self) -> str:
        """Returns what was held back, at the end of the text."""
        if self._cut is not None:
            return self._stop()
        text, self._held = self._held, ""
        return text

    def _advance(self, end: int) -> bool:
        """Reads the held text's character before ``end``; True when the first stop is certain."""
        for matcher in self._matchers:
            if matcher.advance(self._held[end - 1]):
                found = (end - matcher.length, end)
                self._cut = found if self._cut is None else min(self._cut, found)
        return self._cut is not None and self._cut[0] <= end - self._num_open

    @property
    def _num_open(self) -> int:
        """Length of the longest end of the text that begins a stop string."""
        return max(matcher.num_matched for matcher in self._matchers)

    def _stop(self) -> str:
        assert self._cut is not None
        end = self._cut[1] if self._includes_stop else self._cut[0]
        text, self._held = self._held[:end], ""
        self._is_stopped = True
        return text

    def _release(self) -> str:
        # An undecided cut lies behind the open beginning that it waits for.
        num_certain = len(self._held) - self._num_open
        text, self._held = self._held[:num_certain], self._held[num_certain:]
        if self._cut is not None:
            start, end = self._cut
            self._cut = (start - num_certain, end - num_certain)
        return text
