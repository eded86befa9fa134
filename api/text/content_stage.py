"""The last stage of content: stop strings, and the logprobs of what is shown."""

from __future__ import annotations

from api.events import TokenLogprob
from api.text.logprobs import HeldLogprobs
from api.text.stop_strings import StopStrings

Shown = tuple[str, tuple[TokenLogprob, ...]]


class ContentStage:
    """Cuts content at the first stop string; tokens that begin behind the cut have no logprobs either.

    ``prefix_text`` comes first, and no stop string is looked for in it.
    """

    def __init__(self, stop_strings: StopStrings, prefix_text: str = "") -> None:
        self._stop_strings = stop_strings
        self._prefix_text = prefix_text
        self._logprobs = HeldLogprobs()

    @property
    def is_stopped(self) -> bool:
        return self._stop_strings.is_stopped

    def minds(self, name: str) -> bool:
        """Whether a special token's name is to be fed as hidden text."""
        return self._stop_strings.has_part(name)

    def feed(self, text: str, logprobs: tuple[TokenLogprob, ...] = (), *, is_hidden: bool = False) -> Shown:
        """``logprobs`` are of the tokens whose text begins with ``text``, or with what follows it."""
        if self.is_stopped:
            return "", ()
        self._logprobs.feed(logprobs, len(text))
        passed = self._stop_strings.feed(text, is_hidden=is_hidden)
        return self._take_prefix() + passed.text, self._logprobs.show(passed.num_chars)

    def flush(self) -> Shown:
        """Returns what was held back, at the end of the text."""
        passed = self._stop_strings.flush()
        logprobs = self._logprobs.show(passed.num_chars)
        if not self.is_stopped:
            logprobs += self._logprobs.flush()
        return self._take_prefix() + passed.text, logprobs

    def _take_prefix(self) -> str:
        prefix, self._prefix_text = self._prefix_text, ""
        return prefix
