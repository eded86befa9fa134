"""One request's way from token ids to the text that its client sees."""

from __future__ import annotations

from collections.abc import Iterable

from api.text.detokenizer import IncrementalDetokenizer
from api.text.stop_strings import StopStrings
from api.text.tokenizer import Tokenizer


class TextPipeline:
    """Detokenises, then stops at stop strings; the ``OutputPipeline`` of plain answers."""

    def __init__(
        self, tokenizer: Tokenizer, stops: Iterable[str] = (), *, continues_text: bool = False
    ) -> None:
        self._detokenizer = IncrementalDetokenizer(tokenizer, continues_text=continues_text)
        self._stop_strings = StopStrings(tuple(stops))

    @property
    def is_stopped(self) -> bool:
        """True once a stop string was met; no more text comes."""
        return self._stop_strings.is_stopped

    def feed(self, token_id: int) -> str:
        """Returns the text that is certain after this token (may be empty)."""
        return self._stop_strings.feed(self._detokenizer.feed(token_id))

    def flush(self) -> str:
        """Returns what was held back at the end; ``is_stopped`` may turn true by it."""
        return self._stop_strings.feed(self._detokenizer.flush()) + self._stop_strings.flush()
