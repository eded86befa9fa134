"""No denormal numbers in attention: not in what it makes on the way, nor in the products it adds up."""

from __future__ import annotations

import mlx.core as mx
import numpy as np
import pytest

from api.engine.forward.attention import cpu as module
from api.engine.forward.attention.cpu import cpu_attention
from api.engine.forward.attention.mask import AttentionMask
from tests.engine.denormals import num_denormals
from tests.engine.forward.attention_inputs import random_inputs, windowed

NUM_KEYS = 1600


class Recorder:
    """All that the attention makes on its way, and the values that each tile's weights go with."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.made: list[mx.array] = []
        self.products: list[tuple[mx.array, mx.array]] = []
        self._exp, self._add = module.exp_below, module._add_tile
        monkeypatch.setattr(module, "exp_below", self._record_exp)
        monkeypatch.setattr(module, "_add_tile", self._record_tile)

    def _record_exp(self, x: mx.array, peak: mx.array) -> mx.array:
        self.made.append(self._exp(x, peak))
        return self.made[-1]

    def _record_tile(
        self, partial: module._Partial | None, scores: mx.array, values: mx.array
    ) -> module._Partial:
        first = len(self.made)
        new = self._add(partial, scores, values)
        self.products.append((self.made[first], values))
        if partial is not None:
            self.made += [partial.total * self.made[first + 1], partial.out * self.made[first + 1]]
        self.made += [scores, new.total, new.out]
        return new

    def count(self) -> int:
        """Denormals among the arrays, and among each weight times its ordinary values."""
        in_arrays = sum(num_denormals(array) for array in self.made)
        return in_arrays + sum(self._in_products(*each) for each in self.products)

    @staticmethod
    def _in_products(weights: mx.array, values: mx.array) -> int:
        factors = np.unique(np.array(weights))
        smallest = np.abs(np.array(values)).min()
        return num_denormals(factors.astype(np.float64) * smallest)


def ordinary(array: mx.array) -> mx.array:
    """None is closer to zero than 1e-6, as good as none of a model's values are."""
    return mx.where(mx.abs(array) < 1e-6, 1e-6, array)


MASKS = {
    "all": None,
    "causal": AttentionMask(5, NUM_KEYS),
    "window": windowed(5, NUM_KEYS, 40),
    "one key": AttentionMask(1, NUM_KEYS, lambda: (mx.arange(NUM_KEYS) == 3)[None, None, None]),
}


@pytest.mark.parametrize("has_sinks", [False, True])
@pytest.mark.parametrize("num_slots", [1, 4])
@pytest.mark.parametrize("steepness", [1.0, 30.0])
@pytest.mark.parametrize("name", MASKS)
def test_masked_keys_and_peaks_far_apart(
    name: str, steepness: float, num_slots: int, has_sinks: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_TILE_SCORES", 1)  # several tiles
    mask = MASKS[name]
    num_queries = 1 if name == "one key" else 5
    queries, keys, values = random_inputs(num_slots, 6, 2, num_queries, NUM_KEYS)
    sinks = mx.array([-60.0, -20.0, 0.0, 20.0, 60.0, 90.0]) if has_sinks else None
    recorder = Recorder(monkeypatch)
    out = cpu_attention(queries * steepness, keys, ordinary(values), 0.25, mask, sinks)
    mx.eval(out)
    assert recorder.products and recorder.count() == 0
    assert num_denormals(out) == 0


@pytest.mark.parametrize("gap", [25.0, 80.0, 88.0, 95.0, 103.0, 200.0])
@pytest.mark.parametrize("num_keys", [20, NUM_KEYS])
def test_one_key_that_outweighs_all_others(
    num_keys: int, gap: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Few and many keys are multiplied by functions of their own."""
    queries, keys, values = random_inputs(2, 4, 2, 1, num_keys)
    queries = mx.ones_like(queries)
    keys = keys * 0.01 - gap / keys.shape[-1] * (mx.arange(num_keys) != 7)[:, None]
    recorder = Recorder(monkeypatch)
    out = cpu_attention(queries, keys, ordinary(values), 1.0, None, None)
    assert recorder.count() == 0
    assert mx.allclose(out[:, 0], values[:, 0, 7:8], atol=1e-2)
