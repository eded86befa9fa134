"""The order of weights in a CPU's memory: the one in which it multiplies faster.

BLAS packs a weight anew for each product. A layer multiplies by the transpose of its weight, so the weight of
shape ``[outputs, inputs]`` is packed against its order. Stored the other way round it has the same shape and
numbers, but is packed in its order: with few rows, which is decoding, packing is much of the product.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from statistics import median

import mlx.core as mx
import mlx.nn as nn

_TRIED_BYTES = 64 * 1024**2  # of weights: more than caches hold
_TRIED_ROWS = (1, 8, 32, 128)  # decode, and prefill
_NUM_TRIES = 5
_LEAST_GAIN = 0.97  # of the time


def turn_weights(model: nn.Module) -> bool:
    """Stores float32 weights the other way round where that pays, in place; returns whether it does.

    One at a time, so memory peaks at the final size plus one of them, beside those that are tried.
    """
    linear, heads = _layers(model)
    chosen = linear if linear and _pays([layer.weight for layer in _first_layers(linear)]) else []
    chosen += [head for head in heads if _pays([_part(head.weight)])]
    for layer in chosen:
        layer.weight = _turned(layer.weight)
        mx.eval(layer.weight)
    mx.clear_cache()
    return bool(chosen)


def _layers(model: nn.Module) -> tuple[list[nn.Module], list[nn.Module]]:
    """Returns the linear layers, and the embeddings whose weight is the head's as well.

    A head of its own is a linear layer of the embedding's shape. Looking rows up in a turned weight takes
    longer, but is next to nothing beside the product with it.
    """
    layers = [layer for _, layer in model.named_modules() if _is_plain(layer)]
    linear = [layer for layer in layers if type(layer) is nn.Linear]
    shapes = {layer.weight.shape for layer in linear}
    embeddings = [layer for layer in layers if type(layer) is nn.Embedding]
    return linear, [each for each in embeddings if each.weight.shape not in shapes]


def _is_plain(layer: nn.Module) -> bool:
    return type(layer) in (nn.Linear, nn.Embedding) and layer.weight.dtype == mx.float32


def _first_layers(layers: Sequence[nn.Module]) -> Iterable[nn.Module]:
    num_bytes = 0
    for layer in layers:
        yield layer
        num_bytes += layer.weight.nbytes
        if num_bytes >= _TRIED_BYTES:
            return


def _part(weight: mx.array) -> mx.array:
    """Its first rows: a large vocabulary's whole would be tried for many seconds."""
    return weight[: max(1, _TRIED_BYTES * weight.shape[0] // weight.nbytes)]


def _turned(weight: mx.array) -> mx.array:
    """The same numbers, with those of one input behind one another."""
    return mx.contiguous(weight.T).T


def _pays(weights: Sequence[mx.array]) -> bool:
    turned = [_turned(weight) for weight in weights]
    mx.eval(weights, turned)
    ratios = [_ratio(weights, turned, num_rows) for num_rows in _TRIED_ROWS]
    return sum(ratios) / len(ratios) <= _LEAST_GAIN


def _ratio(weights: Sequence[mx.array], turned: Sequence[mx.array], num_rows: int) -> float:
    """Seconds with ``turned``, of those with ``weights``; in turns, so that noise meets both alike."""
    inputs = {weight.shape[1]: mx.ones((num_rows, weight.shape[1])) for weight in weights}
    mx.eval(list(inputs.values()))
    _seconds(weights, inputs)
    pairs = [(_seconds(turned, inputs), _seconds(weights, inputs)) for _ in range(_NUM_TRIES)]
    return median(ours / plain for ours, plain in pairs)


def _seconds(weights: Sequence[mx.array], inputs: dict[int, mx.array]) -> float:
    started = time.perf_counter()
    mx.eval([inputs[weight.shape[1]] @ weight.T for weight in weights])
    return time.perf_counter() - started
