"""Reads the header of a GGUF file: metadata, and where each tensor lies.

In plain Python, because it must also say whether the file is whole: the reader inside MLX notices what is
cut off, but a damaged length in the header crashes the process, and it does not tell where tensors lie.
"""

from __future__ import annotations

import math
import mmap
import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from api.errors import StartupError

_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_STRING, _ARRAY = 8, 9
_MAX_DIMENSIONS = 8

# GGML type: (name, elements per block, bytes per block)
_TENSOR_TYPES = {
    0: ("F32", 1, 4),
    1: ("F16", 1, 2),
    2: ("Q4_0", 32, 18),
    3: ("Q4_1", 32, 20),
    6: ("Q5_0", 32, 22),
    7: ("Q5_1", 32, 24),
    8: ("Q8_0", 32, 34),
    9: ("Q8_1", 32, 36),
    10: ("Q2_K", 256, 84),
    11: ("Q3_K", 256, 110),
    12: ("Q4_K", 256, 144),
    13: ("Q5_K", 256, 176),
    14: ("Q6_K", 256, 210),
    15: ("Q8_K", 256, 292),
    24: ("I8", 1, 1),
    25: ("I16", 1, 2),
    26: ("I32", 1, 4),
    27: ("I64", 1, 8),
    28: ("F64", 1, 8),
    30: ("BF16", 1, 2),
}


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """One tensor: ``shape`` has the rows first, ``offset`` counts bytes from the start of the file."""

    name: str
    type_id: int
    shape: tuple[int, ...]
    offset: int

    @property
    def type_name(self) -> str:
        known = _TENSOR_TYPES.get(self.type_id)
        return known[0] if known else f"type {self.type_id}"

    @property
    def num_bytes(self) -> int:
        """Size in the file; 0 for a type that is not known here."""
        _, block_size, block_bytes = _TENSOR_TYPES.get(self.type_id, ("", 1, 0))
        return math.prod(self.shape) // block_size * block_bytes


@dataclass(frozen=True, slots=True)
class GgufHeader:
    """Metadata as Python values (arrays as lists) and the tensors by name."""

    path: Path
    metadata: dict[str, Any] = field(default_factory=dict)
    tensors: dict[str, TensorInfo] = field(default_factory=dict)

    def floats(self, name: str) -> list[float]:
        """Returns the values of a small F32 tensor."""
        tensor = self.tensors[name]
        with self.path.open("rb") as file:
            file.seek(tensor.offset)
            data = file.read(tensor.num_bytes)
        return list(struct.unpack(f"<{len(data) // 4}f", data))


def read_header(path: Path) -> GgufHeader:
    """Reads and checks a GGUF file's header. Raises StartupError for a damaged or truncated file."""
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            header = _parse(path, _Reader(data))
            _check_whole(header, len(data))
    except OSError as error:
        raise StartupError(f"cannot read {path}: {error.strerror}") from error
    except (struct.error, ValueError, OverflowError) as error:
        raise StartupError(f"{path} is damaged or no GGUF file: {error}") from error
    return header


class _Reader:
    """A cursor over the file's bytes; raises struct.error or ValueError at nonsense."""

    def __init__(self, data: mmap.mmap) -> None:
        self.data = data
        self.position = 0

    def scalar(self, code: str) -> Any:
        layout = "<" + code
        (value,) = struct.unpack_from(layout, self.data, self.position)
        self.position += struct.calcsize(layout)
        return value

    def string(self) -> str:
        return self._bytes(self.scalar("Q")).decode("utf-8", errors="replace")

    def value(self, type_id: int) -> Any:
        if type_id == _STRING:
            return self.string()
        if type_id == _ARRAY:
            return self._array()
        if type_id not in _SCALARS:
            raise ValueError(f"unknown metadata type {type_id}")
        return self.scalar(_SCALARS[type_id])

    def _array(self) -> list[Any]:
        item_type, count = self.scalar("I"), self.scalar("Q")
        if item_type in _SCALARS:
            layout = f"<{count}{_SCALARS[item_type]}"
            return list(struct.unpack(layout, self._bytes(struct.calcsize(layout))))
        if count > len(self.data) - self.position:
            raise ValueError("an array is longer than the file")
        return [self.value(item_type) for _ in range(count)]

    def _bytes(self, count: int) -> bytes:
        if count > len(self.data) - self.position:
            raise ValueError("the file ends too early")
        start = self.position
        self.position += count
        return self.data[start : self.position]


def _parse(path: Path, reader: _Reader) -> GgufHeader:
    if reader.data[:4] != b"GGUF":
        raise ValueError("it does not start with GGUF")
    reader.position = 4
    version = reader.scalar("I")
    if version not in (2, 3):
        raise ValueError(f"version {version} is not supported")
    num_tensors, num_keys = reader.scalar("Q"), reader.scalar("Q")
    metadata = {}
    for _ in range(num_keys):
        key = reader.string()
        metadata[key] = reader.value(reader.scalar("I"))
    infos = [_tensor_info(reader) for _ in range(num_tensors)]
    start = _aligned(reader.position, metadata.get("general.alignment", 32))
    tensors = {
        name: TensorInfo(name, type_id, shape, start + offset) for name, type_id, shape, offset in infos
    }
    return GgufHeader(path, metadata, tensors)


def _tensor_info(reader: _Reader) -> tuple[str, int, tuple[int, ...], int]:
    name = reader.string()
    num_dimensions = reader.scalar("I")
    if num_dimensions > _MAX_DIMENSIONS:
        raise ValueError(f"tensor {name!r} has {num_dimensions} dimensions")
    shape = tuple(reader.scalar("Q") for _ in range(num_dimensions))
    return name, reader.scalar("I"), shape[::-1], reader.scalar("Q")


def _aligned(position: int, alignment: int) -> int:
    if not isinstance(alignment, int) or alignment <= 0:
        raise ValueError(f"alignment {alignment!r}")
    return -(-position // alignment) * alignment


def _check_whole(header: GgufHeader, file_bytes: int) -> None:
    end = max((tensor.offset + tensor.num_bytes for tensor in header.tensors.values()), default=0)
    if not header.tensors:
        raise ValueError("it holds no tensors")
    if end > file_bytes:
        raise ValueError(f"{end - file_bytes} bytes are missing at its end")
