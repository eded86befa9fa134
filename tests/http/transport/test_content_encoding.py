from __future__ import annotations

import gzip
import tracemalloc
import zlib
from functools import partial

import pytest

from api.errors import BodyTooLargeError, ContentEncodingError, InvalidRequestError
from api.http.transport.content_encoding import decode, decoders_of

TEXT = b'{"model": "model"}' * 100
MAX_BYTES = 10_000


# Not the time of packing: two processes that collect these tests must name them alike.
pack_gzip = partial(gzip.compress, mtime=0)


def raw_deflate(data: bytes) -> bytes:
    deflater = zlib.compressobj(wbits=-15)
    return deflater.compress(data) + deflater.flush()


def inflate(encoding: str, body: bytes) -> bytes:
    return decode(body, decoders_of(encoding), MAX_BYTES)


@pytest.mark.parametrize(
    ("encoding", "body"),
    [
        ("", TEXT),
        ("identity", TEXT),
        ("gzip", pack_gzip(TEXT)),
        ("X-GZip", pack_gzip(TEXT)),
        ("gzip", pack_gzip(TEXT[:50]) + pack_gzip(TEXT[50:])),
        ("deflate", zlib.compress(TEXT)),
        ("deflate", raw_deflate(TEXT)),
        ("deflate, gzip", pack_gzip(zlib.compress(TEXT))),
        ("gzip,,identity , gzip", pack_gzip(pack_gzip(TEXT))),
    ],
)
def test_encodings_are_undone(encoding: str, body: bytes) -> None:
    assert inflate(encoding, body) == TEXT


@pytest.mark.parametrize("encoding", ["br", "zstd", "compress", "gzip, nonsense", "gzip, gzip, gzip, gzip"])
def test_what_cannot_be_undone_is_said(encoding: str) -> None:
    with pytest.raises(ContentEncodingError, match="Content-Encoding") as caught:
        decoders_of(encoding)
    assert caught.value.status == 415


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
@pytest.mark.parametrize("body", [TEXT, b"", pack_gzip(TEXT)[:-9], zlib.compress(TEXT)[:-9], b"\x78\x9c\xff"])
def test_damaged_data_are_refused(encoding: str, body: bytes) -> None:
    with pytest.raises(InvalidRequestError, match="damaged or cut off") as caught:
        inflate(encoding, body)
    assert caught.value.status == 400


def test_a_damaged_sum_is_refused() -> None:
    body = bytearray(pack_gzip(TEXT))
    body[-6] ^= 1
    with pytest.raises(InvalidRequestError):
        inflate("gzip", bytes(body))


@pytest.mark.parametrize("num_bytes", [MAX_BYTES, MAX_BYTES + 1])
@pytest.mark.parametrize(("encoding", "pack"), [("gzip", pack_gzip), ("deflate", zlib.compress)])
def test_the_limit_is_that_of_the_inflated_text(num_bytes: int, encoding: str, pack: object) -> None:
    assert callable(pack)
    body = pack(b"a" * num_bytes)
    if num_bytes <= MAX_BYTES:
        assert len(inflate(encoding, body)) == num_bytes
    else:
        with pytest.raises(BodyTooLargeError):
            inflate(encoding, body)


def test_a_bomb_is_not_inflated() -> None:
    bomb = pack_gzip(pack_gzip(bytes(50_000_000)))
    tracemalloc.start()
    with pytest.raises(BodyTooLargeError):
        inflate("gzip, gzip", bomb)
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak_bytes < 1_000_000


def test_thousands_of_tiny_members_are_refused() -> None:
    with pytest.raises(InvalidRequestError):
        inflate("gzip", pack_gzip(b"") * 5000)
