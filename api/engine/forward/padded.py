"""The fallback: mlx-lm's own caches, prompts prefilled one by one, decode rows merged into its batch caches.

Serves every model that mlx-lm can load. Slots only count bytes here; the state lives in the caches.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import mlx.core as mx
import mlx.nn as nn
from mlx.utils import tree_flatten

from api.engine.forward.cache_kinds import make_caches
from api.engine.forward.layout import first_rows
from api.step_plan import Span, StepPlan


class PaddedForward:
    """``Forward`` over mlx-lm's caches."""

    def __init__(self, model: nn.Module, *, batches: bool) -> None:
        """``batches``: decode rows share one forward; else each row is a forward of its own."""
        self.name = "padded" if batches else "padded, one row at a time"
        self._model = model
        self._batches = batches
        self._alone: dict[int, list[Any]] = {}  # sequence id -> its caches
        self._batch: list[Any] = []  # one batch cache for each layer
        self._batch_ids: list[int] = []  # the sequences in it, in row order

    def __call__(self, plan: StepPlan, token_ids: mx.array) -> mx.array:
        self._release(plan.released)
        rows = first_rows(plan.spans)
        together = [s for s in plan.spans if self._batches and s.num_tokens == 1 and s.start > 0]
        logits = self._run_batch(together, rows, token_ids) if together else {}
        for span in plan.spans:
            if span.sequence_id not in logits:
                logits[span.sequence_id] = self._run_alone(span, rows[span.sequence_id], token_ids)
        wanted = [logits[span.sequence_id] for span in plan.spans if span.num_logits]
        return mx.concatenate(wanted) if wanted else mx.zeros((0, 1))

    def compute_saves(self) -> None:
        """Nothing is saved: its state does not lie in slots."""

    def state(self) -> list[mx.array]:
        caches = [c for caches in self._alone.values() for c in caches] + self._batch
        leaves = tree_flatten([cache.state for cache in caches])
        return [leaf for _, leaf in leaves if isinstance(leaf, mx.array)]

    def reset(self) -> None:
        self._alone.clear()
        self._batch, self._batch_ids = [], []

    def _run_alone(self, span: Span, row: int, token_ids: mx.array) -> mx.array:
        """Logits ``[rows, vocabulary]`` of the span's last rows: those that need any, or one."""
        if span.sequence_id in self._batch_ids:
            self._split([span.sequence_id])
        caches = self._alone.setdefault(span.sequence_id, [])
        if not caches:
            caches.extend(make_caches(self._model))
        logits: mx.array = self._model(token_ids[None, row : row + span.num_tokens], cache=caches)
        return logits[0, -max(1, span.num_logits) :]

    def _run_batch(self, spans: list[Span], rows: dict[int, int], token_ids: mx.array) -> dict[int, mx.array]:
        """One forward ``[rows, 1]``; logits ``[1, vocabulary]`` of each sequence."""
        ids = [span.sequence_id for span in spans]
        self._split([i for i in self._batch_ids if i not in set(ids)])
        self._join([i for i in ids if i not in set(self._batch_ids)])
        order = mx.array([rows[i] for i in self._batch_ids])
        logits = self._model(token_ids[order][:, None], cache=self._batch)[:, -1]
        return {i: logits[row : row + 1] for row, i in enumerate(self._batch_ids)}

    def _join(self, sequence_ids: list[int]) -> None:
        if not sequence_ids:
            return
        joining = [self._alone.pop(i) for i in sequence_ids]
        merged = [layers[0].merge(list(layers)) for layers in zip(*joining, strict=True)]
        for ours, theirs in zip(self._batch, merged, strict=False):
            ours.extend(theirs)
        self._batch = self._batch or merged
        self._batch_ids += sequence_ids

    def _split(self, sequence_ids: list[int]) -> None:
        """Takes sequences out of the batch that are not in the next forward but will go on later."""
        for sequence_id in sequence_ids:
            row = self._batch_ids.index(sequence_id)
            self._alone[sequence_id] = [cache.extract(row) for cache in self._batch]
        self._filter(set(sequence_ids))

    def _release(self, sequence_ids: Iterable[int]) -> None:
        for sequence_id in sequence_ids:
            self._alone.pop(sequence_id, None)
        self._filter(set(sequence_ids))

    def _filter(self, leaving: set[int]) -> None:
        keep = [row for row, i in enumerate(self._batch_ids) if i not in leaving]
        if len(keep) == len(self._batch_ids):
            return
        self._batch_ids = [self._batch_ids[row] for row in keep]
        if not keep:
            self._batch = []
        for cache in self._batch:
            cache.filter(keep)
