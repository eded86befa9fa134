"""Log probabilities as a client sees them: with the text and the bytes of each token."""

from __future__ import annotations

from collections import deque
from dataclasses import replace

from api.events import TokenLogprob
from api.step_plan import SampledLogprobs
from api.text.detokenizer import IncrementalDetokenizer
from api.text.tokenizer import Tokenizer


def read_logprobs(
    tokenizer: Tokenizer, detokenizer: IncrementalDetokenizer, token_id: int, sampled: SampledLogprobs
) -> TokenLogprob:
    """Returns the token that ``detokenizer`` is about to be fed, and those it was drawn among.

    ``raw`` are exactly the bytes that a token adds to the text here; a special token, which adds
    none, goes by its name.
    """
    top = tuple(_entry(tokenizer, detokenizer, other_id, logprob) for other_id, logprob in sampled.top)
    return _entry(tokenizer, detokenizer, token_id, sampled.logprob, top)


def read_prompt_token(
    tokenizer: Tokenizer, detokenizer: IncrementalDetokenizer, token_id: int, scored: SampledLogprobs
) -> TokenLogprob:
    """As ``read_logprobs``, with the ids and the ranks of all of them."""
    top = tuple(
        replace(_entry(tokenizer, detokenizer, other_id, logprob), token_id=other_id, rank=rank)
        for rank, (other_id, logprob) in enumerate(scored.top, start=1)
    )
    own = _entry(tokenizer, detokenizer, token_id, scored.logprob, top)
    return replace(own, token_id=token_id, rank=scored.rank)


def _entry(
    tokenizer: Tokenizer,
    detokenizer: IncrementalDetokenizer,
    token_id: int,
    logprob: float,
    top: tuple[TokenLogprob, ...] = (),
) -> TokenLogprob:
    text = detokenizer.peek(token_id)
    raw = text or tokenizer.special_token_name(token_id).encode("utf-8")
    return TokenLogprob(raw.decode("utf-8", "replace"), raw, logprob, top, adds_text=bool(text))


class HeldLogprobs:
    """Lets the logprobs of tokens out with the first character of their text."""

    def __init__(self) -> None:
        self._waiting: deque[tuple[int, TokenLogprob]] = deque()  # (where the token's text begins, it)
        self._num_fed_chars = 0
        self._num_shown_chars = 0

    def feed(self, logprobs: tuple[TokenLogprob, ...], num_chars: int) -> None:
        """Takes the tokens whose text begins at the end of what was fed, then ``num_chars`` more."""
        if logprobs:
            self._waiting.extend((self._num_fed_chars, logprob) for logprob in logprobs)
        self._num_fed_chars += num_chars

    def show(self, num_chars: int) -> tuple[TokenLogprob, ...]:
        """Returns the logprobs of the tokens that begin in the next ``num_chars`` characters."""
        self._num_shown_chars += num_chars
        if not self._waiting:
            return ()
        shown: list[TokenLogprob] = []
        while self._waiting and self._waiting[0][0] < self._num_shown_chars:
            shown.append(self._waiting.popleft()[1])
        return tuple(shown)

    def flush(self) -> tuple[TokenLogprob, ...]:
        """Returns the rest, at the end of a text that nothing cut short."""
        rest = tuple(logprob for _, logprob in self._waiting)
        self._waiting.clear()
        return rest
