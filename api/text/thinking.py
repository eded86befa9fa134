"""Where an answer thinks, for whoever must know it while the answer is made.

The decision is that of the pipeline which splits the answer for its client: the same class, made from
the same form, reads the same tokens. So both find the same markers, however the tokens cut the text.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from api.text.answer_form import AnswerForm
from api.text.content_stage import ContentStage
from api.text.marker_tokens import MarkerTexts, MarkerTokens
from api.text.reasoning import ReasoningFormat
from api.text.section_pipeline import SectionPipeline
from api.text.stop_strings import StopStrings
from api.text.token_pieces import REPLACEMENT
from api.text.tokenizer import Tokenizer
from api.text.trimming import num_blank_line_chars

Spell = Callable[[bytes], list[int]]
"""A text to tokens that write exactly its bytes, as a grammar reads them."""


class ThinkingMarkers:
    """A model's two markers in its vocabulary. Reads all names of it: 0.6 s for 150,000 tokens."""

    def __init__(self, tokenizer: Tokenizer, reasoning: ReasoningFormat) -> None:
        self.tokenizer = tokenizer
        texts = MarkerTexts(tokenizer, (reasoning.begin, reasoning.end))
        self.begin = MarkerTokens(reasoning.begin, texts, never_with=reasoning.end)
        self.end = MarkerTokens(reasoning.end, texts)


class AnswerThinking:
    """Makes the trackers of the answers to one prompt, which have one form."""

    def __init__(self, markers: ThinkingMarkers, form: AnswerForm, spell: Spell) -> None:
        self.form = form
        self._markers = markers
        self._spell = spell

    def new_tracker(self) -> AnswerThinkingTracker:
        return AnswerThinkingTracker(self._markers, self.form, self._spell)


class AnswerThinkingTracker:
    """Follows one answer; see ``ThinkingTracker``."""

    def __init__(self, markers: ThinkingMarkers, form: AnswerForm, spell: Spell) -> None:
        self._markers = markers
        self._form = form
        self._spell = spell
        self._sections = SectionPipeline(markers.tokenizer, ContentStage(StopStrings()), form)
        self._has_tokens = False
        self._rest = ""

    @property
    def is_inside(self) -> bool:
        return self._sections.is_in_reasoning

    @property
    def is_opening(self) -> bool:
        if not self._form.is_structured or self.is_inside or self._sections.has_begun:
            return False
        written = self.open_text
        return not self._has_tokens or (bool(written) and self._markers.begin.marker.startswith(written))

    @property
    def open_text(self) -> str:
        return self._sections.open_text

    @property
    def rest_token_ids(self) -> tuple[int, ...] | None:
        return self._spelled(self._rest)

    @property
    def opening_token_ids(self) -> Sequence[int]:
        begin = self._markers.begin
        if not self._has_tokens and not self._form.continues_text:
            return begin.first_token_ids
        return begin.going_on(len(self.open_text))

    @property
    def closing_token_ids(self) -> Sequence[int]:
        return self._markers.end.closing(len(self.open_text))

    def completing(self) -> Iterator[tuple[int, tuple[int, ...] | None]]:
        for token_id, rest in self._markers.end.completing(self.open_text):
            yield token_id, self._spelled(rest)

    def feed(self, token_id: int) -> None:
        self._rest = ""
        if self._form.is_structured and (self.is_inside or self.is_opening):
            text = self.open_text + self._markers.tokenizer.token_text(token_id)
            _, _, self._rest = text.partition(self._markers.end.marker)
        self._has_tokens = True
        self._sections.feed(token_id)

    def _spelled(self, rest: str) -> tuple[int, ...] | None:
        """The rest without what is trimmed; None where it has a broken character."""
        shown = rest[num_blank_line_chars(rest) :]
        return None if REPLACEMENT in shown else tuple(self._spell(shown.encode("utf-8")) if shown else ())
