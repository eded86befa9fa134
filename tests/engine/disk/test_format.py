from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import mlx.core as mx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.engine.device.host_arrays import HostArray, layout_of
from api.engine.disk.format import DamagedBlockError, file_bytes, read_block, write_block
from api.engine.forward.kv.host_copy import to_host
from tests.engine.disk.blocks import LAYOUTS, create_arrays, create_chain

KEY, OTHER_KEY = create_chain([1] * 8)


def contents(arrays: list[HostArray]) -> list[tuple[object, bytes]]:
    return [(array.form, bytes(array.data)) for array in arrays]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / f"{KEY}.safetensors"
    assert write_block(path, KEY, create_arrays(has_state=True)) == path.stat().st_size
    return path


@pytest.mark.parametrize("has_state", [False, True])
def test_what_is_written_is_read(tmp_path: Path, has_state: bool) -> None:
    arrays, path = create_arrays(5, has_state=has_state), tmp_path / "block"
    assert write_block(path, KEY, arrays) == file_bytes(KEY, LAYOUTS[has_state])
    assert contents(read_block(path, KEY, LAYOUTS)) == contents(arrays)
    assert os.listdir(tmp_path) == ["block"]


def test_it_is_safetensors(tmp_path: Path) -> None:
    array = mx.random.normal((3, 2, 4)).astype(mx.bfloat16)
    write_block(tmp_path / "a.safetensors", KEY, [to_host(array), to_host(array.astype(mx.float32))])
    loaded: Any = mx.load(str(tmp_path / "a.safetensors"), return_metadata=True)
    arrays, metadata = loaded
    assert metadata["key"] == KEY
    assert mx.array_equal(arrays["000"], array) and arrays["000"].dtype == mx.bfloat16
    assert mx.array_equal(arrays["001"], array) and arrays["001"].dtype == mx.float32


@given(data=st.data())
def test_no_changed_byte_and_no_missing_one_goes_unseen(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    path = tmp_path_factory.getbasetemp() / "damaged"
    write_block(path, KEY, create_arrays(7))
    content = bytearray(path.read_bytes())
    place = data.draw(st.integers(0, len(content) - 1))
    if data.draw(st.booleans()):
        content[place] ^= data.draw(st.integers(1, 255))
    else:
        del content[place:]
    path.write_bytes(content)
    with pytest.raises(DamagedBlockError):
        read_block(path, KEY, LAYOUTS)


def test_another_blocks_file_is_damaged(path: Path) -> None:
    with pytest.raises(DamagedBlockError):
        read_block(path, OTHER_KEY, LAYOUTS)


def test_arrays_of_another_shape_or_type_are_damaged(path: Path) -> None:
    for num_values, layouts in ((16, LAYOUTS), (8, LAYOUTS[1:])):
        write_block(path, KEY, create_arrays(num_values=num_values))
        with pytest.raises(DamagedBlockError):
            read_block(path, KEY, layouts)
    half = to_host(mx.zeros((2, 4), dtype=mx.float16))
    assert layout_of([half])[0].num_bytes == LAYOUTS[0][0].num_bytes
    write_block(path, KEY, [half])
    with pytest.raises(DamagedBlockError):
        read_block(path, KEY, LAYOUTS)


def test_a_failed_write_leaves_what_was_there(path: Path) -> None:
    before = path.read_bytes()
    broken = HostArray(LAYOUTS[0][0], memoryview(b""))
    folder = path.with_suffix(".partial")
    folder.mkdir()
    with pytest.raises(OSError):
        write_block(path, KEY, [broken])
    folder.rmdir()
    assert path.read_bytes() == before
