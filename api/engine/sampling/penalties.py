"""Changes single logits: penalties for what was said, biases, and ends that would come too early.

All of it is sparse: (row, token, amount) triples made on the host, so rows without any cost nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import mlx.core as mx
import numpy as np
from numpy.typing import NDArray

from api.engine.sampling.state import Row

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class _Entries:
    """Places in the logits, each with the values that change it: ``[entries]`` each."""

    rows: NDArray[np.int32]
    token_ids: NDArray[np.int32]
    values: tuple[Floats, ...]

    def within(self, vocab_size: int) -> _Entries:
        """Without tokens that the logits do not have: MLX checks no index."""
        kept = (self.token_ids >= 0) & (self.token_ids < vocab_size)
        if kept.all():
            return self
        values = tuple(value[kept] for value in self.values)
        return _Entries(self.rows[kept], self.token_ids[kept], values)

    def place(self) -> tuple[mx.array, mx.array]:
        return mx.array(self.rows), mx.array(self.token_ids)


def change_logits(logits: mx.array, rows: Sequence[Row]) -> mx.array:
    """Float32 ``logits [rows, vocabulary]`` with penalties, then biases, then banned ends as -inf.

    Rows with a mask of their own (``Row.has_mask``) keep their ends: the mask decides on those.
    """
    logits = _penalise(logits, _penalties(rows))
    logits = _add(logits, _biases(rows))
    return _add(logits, _bans(rows))


def _penalise(logits: mx.array, entries: _Entries | None) -> mx.array:
    """Repetition penalty as in CTRL (Keskar et al., 2019), the others as OpenAI defines them."""
    if entries is None:
        return logits
    entries = entries.within(logits.shape[-1])
    divisors, amounts = (mx.array(value) for value in entries.values)
    place = entries.place()
    old = logits[place]
    logits = logits.astype(mx.float32)  # another handle: the caller's array is not written to
    logits[place] = mx.where(old > 0, old / divisors, old * divisors) - amounts
    return logits


def _add(logits: mx.array, entries: _Entries | None) -> mx.array:
    if entries is None:
        return logits
    entries = entries.within(logits.shape[-1])
    return logits.at[entries.place()].add(mx.array(entries.values[0]))


def _penalties(rows: Sequence[Row]) -> _Entries | None:
    """One entry for each distinct token of each penalised row: its divisor and what is subtracted."""
    found = [(i, row.state.counts, row.sampling) for i, row in enumerate(rows) if row.state]
    counted = [(i, counts, sampling) for i, counts, sampling in found if counts is not None]
    if not counted:
        return None
    sizes = [len(counts.token_ids) for _, counts, _ in counted]
    answer_counts = np.concatenate([counts.answer_counts for _, counts, _ in counted])
    frequency = _repeat((sampling.frequency_penalty for *_, sampling in counted), sizes)
    presence = _repeat((sampling.presence_penalty for *_, sampling in counted), sizes)
    return _Entries(
        rows=np.repeat(np.array([i for i, *_ in counted], dtype=np.int32), sizes),
        token_ids=np.concatenate([counts.token_ids for _, counts, _ in counted]),
        values=(
            _repeat((sampling.repetition_penalty for *_, sampling in counted), sizes),
            (frequency * answer_counts + presence * (answer_counts > 0)).astype(np.float32),
        ),
    )


def _biases(rows: Sequence[Row]) -> _Entries | None:
    return _entries([(i, *bias) for i, row in enumerate(rows) for bias in row.sampling.logit_bias])


def _bans(rows: Sequence[Row]) -> _Entries | None:
    banned = ((i, row.banned_token_ids) for i, row in enumerate(rows) if not row.has_mask)
    return _entries([(i, token_id, -np.inf) for i, token_ids in banned for token_id in token_ids])


def _entries(triples: Sequence[tuple[int, int, float]]) -> _Entries | None:
    if not triples:
        return None
    rows, token_ids, values = zip(*triples, strict=True)
    return _Entries(
        np.array(rows, dtype=np.int32),
        np.array(token_ids, dtype=np.int32),
        (np.array(values, dtype=np.float32),),
    )


def _repeat(values: Iterable[float], sizes: Sequence[int]) -> Floats:
    return np.repeat(np.fromiter(values, dtype=np.float32, count=len(sizes)), sizes)
