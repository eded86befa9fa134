"""Writes small GGUF files, with any tensor type, and takes a tiny llama apart into one."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np

F32, F16, Q4_1, Q8_0, Q4_K = 0, 1, 3, 8, 12
Tensor = tuple[int, tuple[int, ...], bytes]  # GGML type, shape with the rows first, data


def write_gguf(path: Path, metadata: dict[str, Any], tensors: dict[str, Tensor]) -> Path:
    """Writes version 3; ints become uint32, floats float32, lists arrays of what their first item is."""
    head = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(metadata))
    for key, value in metadata.items():
        type_id, data = _value(value)
        head += _string(key) + struct.pack("<I", type_id) + data
    body = b""
    for name, (type_id, shape, data) in tensors.items():
        head += _string(name) + struct.pack(f"<I{len(shape)}Q", len(shape), *shape[::-1])
        head += struct.pack("<IQ", type_id, len(body))
        body += data + b"\0" * (-len(data) % 32)
    path.write_bytes(head + b"\0" * (-len(head) % 32) + body)
    return path


def f32(values: Any) -> Tensor:
    array = np.asarray(values, np.float32)
    return F32, array.shape, array.tobytes()


def f16(values: Any) -> Tensor:
    array = np.asarray(values, np.float16)
    return F16, array.shape, array.tobytes()


def q8_0(values: Any) -> Tensor:
    """Packs with one scale for 32 values: float16 scale, 32 int8."""
    array = np.asarray(values, np.float32)
    groups = array.reshape(-1, 32)
    scale = (np.abs(groups).max(axis=1, keepdims=True) / 127).astype(np.float16)
    quants = np.round(groups / scale.astype(np.float32)).clip(-127, 127).astype(np.int8)
    data = np.concatenate([scale.view(np.uint8), quants.view(np.uint8)], axis=1)
    return Q8_0, array.shape, data.tobytes()


def q4_1(values: Any) -> Tensor:
    """Packs with scale and minimum for 32 values; a byte holds value i low and value i + 16 high."""
    array = np.asarray(values, np.float32)
    groups = array.reshape(-1, 32)
    low = groups.min(axis=1, keepdims=True).astype(np.float16)
    scale = ((groups.max(axis=1, keepdims=True) - low) / 15).astype(np.float16)
    quants = np.round((groups - low) / scale.astype(np.float32)).clip(0, 15).astype(np.uint8)
    packed = quants[:, :16] | (quants[:, 16:] << 4)
    data = np.concatenate([scale.view(np.uint8), low.view(np.uint8), packed], axis=1)
    return Q4_1, array.shape, data.tobytes()


def _string(text: str) -> bytes:
    data = text.encode()
    return struct.pack("<Q", len(data)) + data


def _value(value: Any) -> tuple[int, bytes]:
    if isinstance(value, bool):
        return 7, struct.pack("<?", value)
    if isinstance(value, int):
        return 4, struct.pack("<I", value)
    if isinstance(value, float):
        return 6, struct.pack("<f", value)
    if isinstance(value, str):
        return 8, _string(value)
    items = [_value(item) for item in value]
    return 9, struct.pack("<IQ", items[0][0], len(items)) + b"".join(data for _, data in items)
