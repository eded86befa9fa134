"""Exponential random numbers for a row's tokens, from its seed and the place in its answer alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import mlx.core as mx
import numpy as np

from api.types import SamplingParams

# Numbers divide, so none may be 0. numpy's float32 ones are multiples of about 1e-7: what they call 0 is
# somewhere under that, and a token that is far less likely wins no race by it.
_SMALLEST = 1e-7


class DrawnRow(Protocol):
    """A row whose token is drawn: its seed, and its place in the answer."""

    @property
    def sampling(self) -> SamplingParams: ...

    @property
    def sample_index(self) -> int: ...


def host_noise(rows: Sequence[DrawnRow], vocab_size: int) -> mx.array:
    """Exponentially distributed float32 ``[rows, vocabulary]``, by numpy: 0.2 ms for 50,000 tokens."""
    numbers = np.empty((len(rows), vocab_size), dtype=np.float32)
    for row, out in zip(rows, numbers, strict=True):
        generator = np.random.Generator(np.random.SFC64(_sequence(row)))
        generator.standard_exponential(dtype=np.float32, out=out)
    return mx.array(np.maximum(numbers, _SMALLEST, out=numbers))


def device_noise(rows: Sequence[DrawnRow], vocab_size: int) -> mx.array:
    """The same by MLX's counter-based generator, where a device makes many numbers at once."""
    keys = [int(_sequence(row).generate_state(1, np.uint64)[0]) for row in rows]
    numbers = mx.stack([mx.random.uniform(shape=(vocab_size,), key=mx.random.key(key)) for key in keys])
    return mx.maximum(-mx.log1p(-numbers), _SMALLEST)


def noise_of(rows: Sequence[DrawnRow], token_ids: mx.array) -> mx.array:
    """The same for a few tokens, int32 ``[rows, tokens]``: a hash of each, by MurmurHash3's finaliser."""
    keys = mx.array([_sequence(row).generate_state(2).tolist() for row in rows], dtype=mx.uint32)
    bits = _mixed(token_ids.astype(mx.uint32) * 0x9E3779B1 + keys[:, :1])
    bits = _mixed((bits ^ keys[:, 1:]) + 0x7F4A7C15)
    numbers = bits.astype(mx.float32) * 2.0**-32
    return mx.maximum(-mx.log1p(-numbers), _SMALLEST)


def _mixed(bits: mx.array) -> mx.array:
    bits = (bits ^ (bits >> 16)) * 0x85EBCA6B
    bits = (bits ^ (bits >> 13)) * 0xC2B2AE35
    return bits ^ (bits >> 16)


def _sequence(row: DrawnRow) -> np.random.SeedSequence:
    """numpy's hash of several numbers into the start of a stream."""
    return np.random.SeedSequence((row.sampling.seed % 2**64, row.sample_index))
