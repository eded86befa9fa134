"""Decode steps as recorded graphs: what a step of some shape does is traced once and replayed without Python.

Building a step's graph is Python in the model's files, for every layer anew. A step of single rows is the
same graph whenever its shape is: only its tokens, its places and the KV differ, and they are its inputs. So
``mx.compile`` records it, fusing what can be fused, and later steps of that shape cost the host little.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable, Sequence
from typing import Any

import mlx.core as mx

from api.engine.forward.kv.store import KVStore
from api.engine.forward.layout import StepLayout

Run = Callable[[StepLayout, mx.array], mx.array]
Arrays = list[mx.array]

# Most shapes come for some dozens of steps; some only once, when somebody joins or leaves.
STEPS_BEFORE_TRACE = 2
_MAX_TRACES = 32
_MAX_COUNTED_SHAPES = 256


class CompiledSteps:
    """Runs steps that have only single rows, by their shape's trace once that shape has come often enough."""

    def __init__(self, run: Run, store: KVStore) -> None:
        """``run`` computes a step's logits and writes to ``store``."""
        self.trace_after = STEPS_BEFORE_TRACE  # steps of a shape that run as they are before one is traced
        self._run = run
        self._store = store
        self._traces: OrderedDict[object, Callable[..., Any]] = OrderedDict()  # the latest used last
        self._num_seen: Counter[object] = Counter()

    def __call__(self, layout: StepLayout, token_ids: mx.array) -> mx.array:
        """Logits, as ``run`` gives them."""
        capacities = [group.capacity for group in layout.groups]
        if not self._store.has_arrays(capacities):
            return self._run(layout, token_ids)
        key = (layout.shape, tuple(self._store.num_slots[capacity] for capacity in capacities))
        trace = self._trace(key, layout, capacities)
        if trace is None:
            return self._run(layout, token_ids)
        stored = self._store.parts(capacities)
        logits, written = trace(token_ids, layout.arrays(), stored)
        self._store.replace_parts(capacities, written)
        return logits  # type: ignore[no-any-return]

    @property
    def num_traces(self) -> int:
        return len(self._traces)

    def clear(self) -> None:
        """Forgets all traces; call where the store's arrays take another form."""
        self._traces.clear()
        self._num_seen.clear()

    def _trace(self, key: object, layout: StepLayout, capacities: Sequence[int]) -> Callable[..., Any] | None:
        if key in self._traces:
            self._traces.move_to_end(key)
            return self._traces[key]
        self._num_seen[key] += 1
        if self._num_seen[key] <= self.trace_after:
            if len(self._num_seen) > _MAX_COUNTED_SHAPES:
                self._num_seen.clear()
            return None
        if len(self._traces) >= _MAX_TRACES:
            self._traces.popitem(last=False)
        self._traces[key] = mx.compile(self._recorded(layout, capacities))
        return self._traces[key]

    def _recorded(
        self, shape: StepLayout, capacities: Sequence[int]
    ) -> Callable[..., tuple[mx.array, Arrays]]:
        """The step as a function of all that differs between steps of one shape; runs while it is traced."""

        def step(token_ids: mx.array, arrays: Arrays, stored: Arrays) -> tuple[mx.array, Arrays]:
            held = self._store.parts(capacities)
            self._store.replace_parts(capacities, stored)
            try:
                logits = self._run(shape.with_arrays(arrays), token_ids)
                return logits, self._store.parts(capacities)
            finally:
                self._store.replace_parts(capacities, held)

        return step
