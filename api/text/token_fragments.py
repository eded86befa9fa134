"""Pieces of an answer's text that know which tokens they are made of."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace

from api.events import TokenLogprob
from api.step_plan import SampledLogprobs
from api.text.detokenizer import IncrementalDetokenizer
from api.text.logprobs import read_logprobs
from api.text.tokenizer import Tokenizer


@dataclass(frozen=True, slots=True)
class Fragment:
    """The text of a token, or a part of it. A token counts where its text begins."""

    text: str
    num_tokens: int = 0
    logprobs: tuple[TokenLogprob, ...] = ()  # of those tokens
    is_special: bool = False  # the name of a special token: read by parsers, hidden from clients

    def as_shown(self) -> Fragment:
        """Returns what a client sees of it; the tokens stay."""
        return replace(self, text="") if self.is_special else self

    def as_text(self) -> Fragment:
        """Returns it with the special token's name as text."""
        return replace(self, is_special=False)


class FragmentQueue:
    """Fragments in a row, to be taken away by characters."""

    def __init__(self) -> None:
        self._fragments: deque[Fragment] = deque()
        self.text = ""

    def append(self, fragment: Fragment) -> None:
        self._fragments.append(fragment)
        self.text += fragment.text

    def take(self, num_chars: int) -> list[Fragment]:
        """Removes and returns the first characters; what has no text goes with its predecessor."""
        self.text = self.text[num_chars:]
        taken: list[Fragment] = []
        while self._fragments and (num_chars > 0 or not self._fragments[0].text):
            fragment = self._fragments.popleft()
            if len(fragment.text) > num_chars:
                rest = Fragment(fragment.text[num_chars:], is_special=fragment.is_special)
                self._fragments.appendleft(rest)
                fragment = replace(fragment, text=fragment.text[:num_chars])
            num_chars -= len(fragment.text)
            taken.append(fragment)
        return taken

    def take_all(self) -> list[Fragment]:
        return self.take(len(self.text))


class TokenFragments:
    """Token ids to fragments. A character's tokens, all but the last without text, come together."""

    def __init__(self, tokenizer: Tokenizer, *, continues_text: bool = False) -> None:
        self._tokenizer = tokenizer
        self._detokenizer = IncrementalDetokenizer(tokenizer, continues_text=continues_text)
        self._num_tokens = 0  # without text so far
        self._logprobs: list[TokenLogprob] = []

    @property
    def is_inside_character(self) -> bool:
        """Whether the last token left a character unfinished."""
        return self._detokenizer.is_inside_character

    def feed(self, token_id: int, logprobs: SampledLogprobs | None) -> list[Fragment]:
        read = read_logprobs(self._tokenizer, self._detokenizer, token_id, logprobs) if logprobs else None
        text = self._detokenizer.feed(token_id)
        name = "" if text else self._tokenizer.special_token_name(token_id)
        before = self._cut(self._detokenizer.flush()) if name else []  # a special token breaks a character
        self._num_tokens += 1
        if read is not None:
            self._logprobs.append(read)
        return before + (self._cut(name, is_special=True) if name else self._cut(text))

    def flush(self) -> list[Fragment]:
        """Returns the last tokens also where they have no text."""
        text = self._detokenizer.flush()
        return [self._release(text)] if text or self._num_tokens else []

    def _cut(self, text: str, is_special: bool = False) -> list[Fragment]:
        return [self._release(text, is_special)] if text else []

    def _release(self, text: str, is_special: bool = False) -> Fragment:
        fragment = Fragment(text, self._num_tokens, tuple(self._logprobs), is_special)
        self._num_tokens = 0
        self._logprobs.clear()
        return fragment
