"""The grouped step, for models with recurrent state: one forward for all single tokens, one for each chunk.

The single tokens of all sequences are rows of one forward ``[rows, 1]``, as in the flat step; a prompt's
chunk is a forward ``[1, n]``, because recurrent layers have to see its tokens one behind another.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import mlx.core as mx
import mlx.nn as nn

from api.engine.device.host_arrays import HostArray
from api.engine.forward.cache_kinds import CacheSpec, build_caches, state_specs
from api.engine.forward.grouped_layers import KVViews
from api.engine.forward.kv.block_store import BlockStore
from api.engine.forward.kv.recurrent_state import State, StateStore
from api.engine.forward.kv.slot_array import KVFormat
from api.engine.forward.kv.store import KVStore
from api.engine.forward.layout import first_rows, make_layout
from api.engine.forward.step_context import StepContext
from api.step_plan import Span, StepPlan


class GroupedBlocks:
    """``CachedBlocks`` of KV and, behind it, of state."""

    def __init__(self, kv: BlockStore, states: StateStore) -> None:
        self._kv = kv
        self._states = states
        self._num_kv_arrays = 0  # of a block

    def export(self, block_id: int) -> list[HostArray]:
        kv = self._kv.export(block_id)
        self._num_kv_arrays = len(kv)
        return kv + self._states.export(block_id)

    def insert(self, block_id: int, arrays: Iterable[HostArray]) -> None:
        """Some block with state was exported here before, which told how blocks are made up."""
        given = list(arrays)
        self._kv.insert(block_id, given[: self._num_kv_arrays])
        if given[self._num_kv_arrays :]:
            self._states.insert(block_id, given[self._num_kv_arrays :])

    def drop(self, block_ids: Iterable[int]) -> None:
        dropped = tuple(block_ids)
        self._kv.drop(dropped)
        self._states.drop(dropped)


class GroupedForward:
    """``Forward`` for models that mix attention's KV with recurrent state, or have only that."""

    name = "grouped"

    def __init__(
        self,
        model: nn.Module,
        caches: tuple[CacheSpec, ...],
        store: KVStore,
        views: KVViews,
        step: StepContext,
    ) -> None:
        """``store`` has one layer for each attention cache in ``caches``; ``views`` show it to the model, and
        ask ``step``.
        """
        self._model = model
        self._caches = caches
        self._store = store
        self._views = views
        self._step = step
        self._state_specs = state_specs(caches)
        self._states = StateStore(sum(spec.size for spec in self._state_specs))
        self.blocks = GroupedBlocks(store.blocks, self._states)

    def __call__(self, plan: StepPlan, token_ids: mx.array) -> mx.array:
        self._store.apply(plan)
        self._states.apply(plan)
        rows, prompts = self._divide(plan.spans)
        first = first_rows(plan.spans)
        if len(prompts) + bool(rows) > 1:
            self._wait()
        outputs: dict[int, mx.array] = {}  # first row -> logits, of the spans that need any
        for i, span in enumerate(prompts, start=1):
            row = first[span.sequence_id]
            logits = self._run_prompt(span, token_ids[None, row : row + span.num_tokens])
            if span.num_logits:
                outputs[row] = logits
            if rows or i < len(prompts):
                self._finish(logits if span.num_logits else None)
        if not rows:
            return _joined(outputs)
        order = [first[span.sequence_id] for span in rows]
        logits = self._run_rows(rows, token_ids[mx.array(order)])
        if not outputs and all(span.num_logits for span in rows):
            return logits
        outputs.update({order[i]: logits[i : i + 1] for i, span in enumerate(rows) if span.num_logits})
        return _joined(outputs)

    def compute_saves(self) -> None:
        self._store.compute_saves()
        self._states.compute_saves()

    def state(self) -> list[mx.array]:
        return self._store.arrays() + self._states.arrays()

    def slot_bytes(self) -> Callable[[int], int]:
        """``capacity -> bytes`` of one sequence's KV and state; call while just one has been computed."""
        rates = [(layer.ring, layer.bytes_per_token()) for layer in self._store.layers]
        state_bytes = self.state_bytes()
        return lambda capacity: state_bytes + sum(ring(capacity) * rate for ring, rate in rates)

    @property
    def store(self) -> KVStore:
        return self._store

    def state_bytes(self) -> int:
        """Bytes of the state of all sequences."""
        return sum(array.nbytes for array in self._states.arrays())

    def use(self, kv_format: KVFormat) -> None:
        """Stores keys and values in this form; call before the first step or after ``reset``."""
        self._store.use(kv_format)

    def reset(self) -> None:
        self._store.clear()
        self._states.clear()

    def _divide(self, spans: Iterable[Span]) -> tuple[list[Span], list[Span]]:
        """Those that go together, and those that go alone: chunks, and a sequence's first token, which has
        no state to be put among the others'."""
        singles = [span for span in spans if span.num_tokens == 1 and span.start > 0]
        together = self._states.alike([span.slot for span in singles])
        rows = [span for span in singles if span.slot in together]
        row_ids = {span.sequence_id for span in rows}
        return rows, [span for span in spans if span.sequence_id not in row_ids]

    # --- forwards --------------------------------------------------------------------------------

    def _run_prompt(self, span: Span, token_ids: mx.array) -> mx.array:
        """Logits ``[rows, vocabulary]`` of the span's last rows: those that need any, or one."""
        states = self._states
        caches = self._state_caches(states.take(span.slot) if span.start else states.empty())
        last = slice(-max(1, span.num_logits), None)
        with self._step.running(make_layout(StepPlan(spans=(span,))), (slice(None), last)):
            kv = [self._views.prompt(layer, span) for layer in range(len(self._store.layers))]
            logits: mx.array = self._model(token_ids, cache=self._nest(kv, caches))
        self._states.put(span.slot, _entries(caches))
        return logits[0, last]

    def _run_rows(self, spans: list[Span], token_ids: mx.array) -> mx.array:
        """One forward ``[rows, 1]``; logits ``[rows, vocabulary]``."""
        caches = self._state_caches(self._states.take_rows([span.slot for span in spans]))
        with self._step.running(make_layout(StepPlan(spans=tuple(spans)))):
            kv = [self._views.rows(layer) for layer in range(len(self._store.layers))]
            logits: mx.array = self._model(token_ids[:, None], cache=self._nest(kv, caches))
        self._states.put_rows(_entries(caches))
        return logits[:, -1]

    def _nest(self, kv: list[Any], states: list[Any]) -> list[Any]:
        return build_caches(self._caches, kv.__getitem__, states.__getitem__)

    def _state_caches(self, state: State) -> list[Any]:
        """mlx-lm's own cache objects around a state's arrays."""
        caches, first = [], 0
        for spec in self._state_specs:
            cache = spec.kind(spec.size)
            cache.cache = state[first : first + spec.size]
            first += spec.size
            caches.append(cache)
        return caches

    # --- several forwards in a step --------------------------------------------------------------

    def _wait(self) -> None:
        """Until the step under way has ended: this one is about to be computed, and writes to the slots."""
        self.compute_saves()
        mx.synchronize()

    def _finish(self, logits: mx.array | None) -> None:
        """Computes a forward before the next one is built on it.

        The next one writes to the same arrays, in place only if nobody is still to read them.
        """
        mx.eval(self.state() if logits is None else [logits, *self.state()])


def _joined(outputs: dict[int, mx.array]) -> mx.array:
    """In the order of the rows that they belong to."""
    return mx.concatenate([outputs[row] for row in sorted(outputs)]) if outputs else mx.zeros((0, 1))


def _entries(caches: list[Any]) -> State:
    return [entry for cache in caches for entry in cache.cache]
