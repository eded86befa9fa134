"""Tells models apart that have the same shapes: a fine-tuned one must not begin with its base's blocks."""

from __future__ import annotations

import hashlib

import mlx.core as mx
import mlx.nn as nn
import numpy as np
from mlx.utils import tree_flatten

_SAMPLES = 64  # of each parameter


def weights_digest(model: nn.Module) -> str:
    """A hash of names, types, shapes and some values of every parameter, taken evenly from all of it."""
    digest = hashlib.sha256()
    for name, array in tree_flatten(model.parameters()):
        digest.update(f"{name} {array.dtype} {array.shape}".encode())
        digest.update(_samples(array))
    return digest.hexdigest()


def _samples(array: mx.array) -> bytes:
    """Their bit patterns, whatever the type."""
    flat = array.reshape(-1)
    taken = mx.take(flat, mx.array(np.linspace(0, flat.size - 1, min(_SAMPLES, flat.size), dtype=np.int64)))
    return np.array(taken.view(mx.uint8)).tobytes()
