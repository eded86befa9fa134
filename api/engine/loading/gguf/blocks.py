"""Q4_K blocks as MLX's own 4-bit layout, without going through floats.

MLX unpacks Q4_K itself, but the odd ones of the eight sub-blocks come out wrong (seen with 0.32.4
against llama.cpp's definition), so these tensors are read here. A sub-block is 32 values
``scale * q - minimum``, which is just what MLX calls an affine group.
"""

from __future__ import annotations

from pathlib import Path

import mlx.core as mx
import numpy as np
import numpy.typing as npt

from api.engine.loading.gguf.header import TensorInfo

_BLOCK_BYTES = 144  # float16 d, float16 dmin, 12 bytes of 6-bit scales and minima, 128 bytes of nibbles
_Bytes = npt.NDArray[np.uint8]


def read_q4_k(path: Path, tensor: TensorInfo) -> dict[str, mx.array]:
    """Returns ``weight`` [rows, inputs / 8] uint32, ``scales`` and ``biases`` [rows, inputs / 32] float16."""
    raw = np.fromfile(path, np.uint8, tensor.num_bytes, offset=tensor.offset)
    blocks = raw.reshape(-1, _BLOCK_BYTES)
    steps, minima = _scales_and_minima(blocks[:, 4:16])
    d, dmin = (blocks[:, at : at + 2].copy().view(np.float16).astype(np.float32) for at in (0, 2))
    rows = tensor.shape[0]
    return {
        "weight": mx.array(_packed(blocks[:, 16:]).reshape(rows, -1)),
        "scales": mx.array((d * steps).astype(np.float16).reshape(rows, -1)),
        "biases": mx.array((-dmin * minima).astype(np.float16).reshape(rows, -1)),
    }


def _scales_and_minima(packed: _Bytes) -> tuple[_Bytes, _Bytes]:
    """Unpacks [blocks, 12] bytes to two [blocks, 8] arrays of 6-bit numbers."""
    first, second, third = packed[:, :4], packed[:, 4:8], packed[:, 8:]
    steps = np.concatenate([first & 63, (third & 15) | ((first >> 6) << 4)], axis=1)
    minima = np.concatenate([second & 63, (third >> 4) | ((second >> 6) << 4)], axis=1)
    return steps, minima


def _packed(nibbles: _Bytes) -> npt.NDArray[np.uint32]:
    """Reorders nibbles: 32 bytes hold one sub-block in their low halves, the next in their high ones."""
    pairs = nibbles.reshape(-1, 4, 1, 32)
    values = np.concatenate([pairs & 15, pairs >> 4], axis=2).reshape(-1, 2)
    joined = values[:, 0] | (values[:, 1] << 4)  # MLX: eight values a word, the lowest bits first
    words: npt.NDArray[np.uint32] = joined.view(np.uint32)
    return words
