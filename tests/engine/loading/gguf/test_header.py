from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from api.engine.loading.gguf.header import read_header
from api.errors import StartupError
from tests.engine.loading.gguf_writer import f32, q8_0, write_gguf

METADATA = {
    "a.text": "größe",
    "a.int": 7,
    "a.float": 0.5,
    "a.flag": True,
    "a.texts": ["x", "y"],
    "a.ints": [1, 2],
}


def sample(folder: Path) -> Path:
    tensors = {"one": f32([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]), "two": q8_0([[0.5] * 64])}
    return write_gguf(folder / "sample.gguf", METADATA, tensors)


def test_reads_metadata_and_tensors(tmp_path: Path) -> None:
    header = read_header(sample(tmp_path))
    assert header.metadata == METADATA
    assert header.tensors["one"].shape == (3, 2)
    assert header.floats("one") == [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]
    assert header.tensors["two"].type_name == "Q8_0"
    assert header.tensors["two"].num_bytes == 2 * 34


def test_truncated_file_says_how_much_is_missing(tmp_path: Path) -> None:
    path = sample(tmp_path)
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(StartupError, match="bytes are missing at its end"):
        read_header(path)


@pytest.mark.parametrize(
    "content", [b"", b"GG", b"PK\x03\x04 a zip file", b"GGUF\x01\0\0\0", b"GGUF" + b"\xff" * 60]
)
def test_no_gguf_file_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "odd.gguf"
    path.write_bytes(content)
    with pytest.raises(StartupError, match=r"odd\.gguf"):
        read_header(path)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(position=st.integers(0, 500), value=st.integers(0, 255))
def test_a_damaged_byte_never_ends_in_another_error(tmp_path: Path, position: int, value: int) -> None:
    path = sample(tmp_path)
    data = bytearray(path.read_bytes())
    data[position % len(data)] = value
    path.write_bytes(data)
    try:
        read_header(path)
    except StartupError as error:
        assert str(path) in str(error)
