"""One choice's way from token ids to what its client sees.

A plain answer is detokenised and cut at stop strings. Where a model reasons or may call tools, its
answer is first split into sections at their markers::

    token -> fragments -> sections -+- reasoning  -> trimmed -----------------------------> reasoning
                                    +- tool calls -> collected -------------------------> tool calls
                                    `- content    -> trimmed -> stop strings, logprobs -----> content
"""

from __future__ import annotations

from collections.abc import Iterable

from api.events import OutputPiece, OutputPipeline, TokenLogprob
from api.step_plan import SampledLogprobs
from api.text.answer_form import AnswerForm
from api.text.content_stage import ContentStage
from api.text.detokenizer import IncrementalDetokenizer
from api.text.logprobs import read_logprobs
from api.text.section_pipeline import SectionPipeline
from api.text.stop_strings import StopStrings
from api.text.tokenizer import Tokenizer

_NOTHING = OutputPiece()
_PLAIN = AnswerForm()


def build_pipeline(
    tokenizer: Tokenizer,
    form: AnswerForm = _PLAIN,
    *,
    stops: Iterable[str] = (),
    includes_stop: bool = False,
    prefix_text: str = "",
) -> OutputPipeline:
    """Returns the stages that an answer needs and no others.

    ``prefix_text`` comes before the answer's content, as an echo of the prompt.
    """
    content = ContentStage(StopStrings(tuple(stops), includes_stop=includes_stop), prefix_text)
    if form.has_sections:
        return SectionPipeline(tokenizer, content, form)
    return TextPipeline(tokenizer, content, continues_text=form.continues_text)


class TextPipeline:
    """All of the answer is content."""

    has_tool_calls = False
    num_reasoning_tokens = 0

    def __init__(self, tokenizer: Tokenizer, content: ContentStage, *, continues_text: bool = False) -> None:
        self._tokenizer = tokenizer
        self._detokenizer = IncrementalDetokenizer(tokenizer, continues_text=continues_text)
        self._content = content

    @property
    def is_stopped(self) -> bool:
        """True once a stop string was met; no more comes."""
        return self._content.is_stopped

    def feed(self, token_id: int, logprobs: SampledLogprobs | None = None) -> OutputPiece:
        """Returns what is certain after this token (may be empty)."""
        read: tuple[TokenLogprob, ...] = ()
        if logprobs is not None:
            read = (read_logprobs(self._tokenizer, self._detokenizer, token_id, logprobs),)
        text = self._detokenizer.feed(token_id)
        name = "" if text else self._tokenizer.special_token_name(token_id)
        if name and self._content.minds(name):
            return _piece(*self._content.feed(name, read, is_hidden=True))
        return _piece(*self._content.feed(text, read))

    def flush(self) -> OutputPiece:
        """Returns what was held back at the end; ``is_stopped`` may turn true by it."""
        text, logprobs = self._content.feed(self._detokenizer.flush())
        rest, more_logprobs = self._content.flush()
        return _piece(text + rest, logprobs + more_logprobs)


def _piece(text: str, logprobs: tuple[TokenLogprob, ...]) -> OutputPiece:
    return OutputPiece(content=text, logprobs=logprobs) if text or logprobs else _NOTHING
