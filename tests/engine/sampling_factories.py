"""Rows to sample from, a grammar over single characters, and what numpy says about changed logits."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np
from llguidance import LLMatcher, LLTokenizer, TokenizerWrapper
from numpy.typing import NDArray

from api.engine.sampling.state import Row
from api.types import SamplingParams
from benchmarks.device.sampling_distribution import row_of
from tests.fakes.piece_tokenizer import PieceTokenizer

# Ids of the character tokenizer: printable ASCII, then tokens that are no text.
NUM_CHARACTERS = 95
THINK, END_THINK, SECOND_END, EOS = 95, 96, 97, 98
TOKENIZER_SIZE = 99


def token_ids(text: str) -> tuple[int, ...]:
    return tuple(ord(character) - 32 for character in text)


def text_of(ids: Sequence[int]) -> str:
    return "".join(chr(i + 32) if i < NUM_CHARACTERS else f"<{i}>" for i in ids)


# The same tokens as texts: the markers' names are such that a block begins and ends with them.
CHARACTERS = PieceTokenizer(
    [chr(i + 32) for i in range(NUM_CHARACTERS)], ["<think>", "</thi", "nk>", "<eos>"]
)


class CharacterTokenizer:
    """What llguidance asks of a tokenizer: one token for each printable character, and four others."""

    eos_token_id = EOS
    bos_token_id = None
    special_token_ids = tuple(range(NUM_CHARACTERS, TOKENIZER_SIZE))
    tokens = tuple(bytes([i + 32]) if i < NUM_CHARACTERS else b"\xff<%d>" % i for i in range(TOKENIZER_SIZE))

    def __call__(self, text: bytes | str) -> list[int]:
        return [byte - 32 for byte in (text.encode() if isinstance(text, str) else text)]


@cache
def _tokenizer() -> LLTokenizer:
    return LLTokenizer(TokenizerWrapper(CharacterTokenizer()), eos_token=[EOS])


class RegexGrammar:
    def __init__(self, regex: str) -> None:
        self.regex = regex

    def new_matcher(self) -> LLMatcher:
        matcher = LLMatcher(_tokenizer(), LLMatcher.grammar_from_regex(self.regex), log_level=0)
        assert not matcher.is_error(), matcher.get_error()
        return matcher


def create_row(
    sampling: SamplingParams, prompt: Sequence[int] = (1,), answer: Sequence[int] = (), sequence_id: int = 1
) -> Row:
    return row_of(sequence_id, sampling, prompt, answer)


def log_softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    shifted = logits - logits.max()
    normalised: NDArray[np.float64] = shifted - np.log(np.exp(shifted).sum())
    return normalised
