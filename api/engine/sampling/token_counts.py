"""How often a sequence has each token: what penalties are made of."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_FIRST_CAPACITY = 64


class TokenCounts:
    """The distinct tokens of a sequence, each with how often it is in the answer; costs O(1) a token."""

    def __init__(self) -> None:
        self._index: dict[int, int] = {}
        self._token_ids = np.zeros(_FIRST_CAPACITY, dtype=np.int32)
        self._counts = np.zeros(_FIRST_CAPACITY, dtype=np.int32)

    def add(self, token_id: int, *, is_answer: bool) -> None:
        index = self._index.setdefault(token_id, len(self._index))
        if index == len(self._token_ids):
            self._token_ids = np.resize(self._token_ids, 2 * index)
            self._counts = np.concatenate([self._counts, np.zeros_like(self._counts)])
        self._token_ids[index] = token_id
        self._counts[index] += is_answer

    @property
    def token_ids(self) -> NDArray[np.int32]:
        """Int32 ``[distinct tokens]``, in the order of their first occurrence."""
        return self._token_ids[: len(self._index)]

    @property
    def answer_counts(self) -> NDArray[np.int32]:
        """Occurrences in the answer, int32 ``[distinct tokens]``; 0 for tokens of the prompt alone."""
        return self._counts[: len(self._index)]
