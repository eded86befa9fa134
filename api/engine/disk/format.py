"""A saved block as a file: safetensors, whose header is known to the byte before the file is opened.

The header holds the block's key, a checksum of the data and the arrays' types and shapes. A reader knows
all of that or computes it, so it compares instead of parsing: a file is as it was written, or damaged.
"""

from __future__ import annotations

import json
import os
import stat
import zlib
from collections.abc import Iterable, Sequence
from pathlib import Path

from api.engine.device.host_arrays import HostArray, Layout, data_bytes, layout_of

FORMAT_VERSION = 1
SUFFIX = ".safetensors"
PARTIAL_SUFFIX = ".partial"

_ALIGNMENT = 8


class DamagedBlockError(Exception):
    """The file is not the block that was written under its name."""


def write_block(path: Path, key: str, arrays: Sequence[HostArray]) -> int:
    """Writes under a temporary name, then renames: nobody ever sees half a file. Returns its bytes.

    Raises OSError.
    """
    parts = [array.data for array in arrays]
    header = _header(key, layout_of(arrays), _checksum(parts))
    partial = path.with_suffix(PARTIAL_SUFFIX)
    try:
        with partial.open("wb") as file:
            file.writelines((header, *parts))
        os.replace(partial, path)
    except OSError:
        partial.unlink(missing_ok=True)
        raise
    return file_bytes(key, layout_of(arrays))


def read_block(path: Path, key: str, layouts: Sequence[Layout]) -> list[HostArray]:
    """The arrays, in whichever of ``layouts`` fits the file's size.

    Raises DamagedBlockError where it fits none of them or is not what was written; OSError.
    """
    with open(path, "rb", buffering=0, opener=_open_at_once) as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise DamagedBlockError("it is no file")
        size = os.fstat(file.fileno()).st_size
        layout = next((each for each in layouts if file_bytes(key, each) == size), None)
        if layout is None:
            raise DamagedBlockError(f"a block is not {size} bytes long")
        content = memoryview(file.read())
    num_header_bytes = size - data_bytes(layout)
    data = content[num_header_bytes:]
    if content[:num_header_bytes] != _header(key, layout, _checksum([data])):
        raise DamagedBlockError("its header or its checksum is wrong")
    arrays = []
    for form in layout:
        arrays.append(HostArray(form, data[: form.num_bytes]))
        data = data[form.num_bytes :]
    return arrays


def _open_at_once(path: str, flags: int) -> int:
    """A pipe would wait for somebody to write."""
    return os.open(path, flags | os.O_NONBLOCK)


def file_bytes(key: str, layout: Layout) -> int:
    return len(_header(key, layout, 0)) + data_bytes(layout)


def _header(key: str, layout: Layout, checksum: int) -> bytes:
    tensors: dict[str, object] = {
        "__metadata__": {"format": str(FORMAT_VERSION), "key": key, "crc32": f"{checksum:08x}"}
    }
    start = 0
    for number, form in enumerate(layout):
        end = start + form.num_bytes
        tensors[f"{number:03}"] = {"dtype": form.kind, "shape": form.shape, "data_offsets": [start, end]}
        start = end
    text = json.dumps(tensors, separators=(",", ":")).encode()
    text += b" " * (-len(text) % _ALIGNMENT)
    return len(text).to_bytes(8, "little") + text


def _checksum(parts: Iterable[memoryview]) -> int:
    checksum = 0
    for part in parts:
        checksum = zlib.crc32(part, checksum)
    return checksum
