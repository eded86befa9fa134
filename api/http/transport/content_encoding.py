"""Compressed bodies (RFC 9110, 8.4), inflated no further than the limit of a body."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable

from api.errors import BodyTooLargeError, ContentEncodingError, InvalidRequestError

Decoder = Callable[[bytes, int], bytes]  # the data and the most bytes wanted; raises zlib.error

SUPPORTED_ENCODINGS = "gzip, deflate"
_MAX_CODINGS = 3  # of one body, one inside the other
_MAX_GZIP_MEMBERS = 16  # each copies what follows it
_GZIP_BITS, _ZLIB_BITS, _RAW_BITS = 31, 15, -15


def decoders_of(content_encoding: str) -> tuple[Decoder, ...]:
    """What undoes the codings of a ``Content-Encoding`` header, in the order of use.

    Raises ContentEncodingError, which names what is not known.
    """
    names = [each for part in content_encoding.split(",") if (each := part.strip().lower())]
    applied = [name for name in names if name != "identity"]
    if len(applied) > _MAX_CODINGS:
        raise ContentEncodingError(f"More than {_MAX_CODINGS} values of Content-Encoding are not supported.")
    for name in applied:
        if name not in _DECODERS:
            raise ContentEncodingError(
                f"The Content-Encoding {name[:64]!r} is not supported; send {SUPPORTED_ENCODINGS}, or none."
            )
    return tuple(_DECODERS[name] for name in reversed(applied))


def decode(body: bytes, decoders: Iterable[Decoder], max_bytes: int) -> bytes:
    """Raises BodyTooLargeError once a stage has more than ``max_bytes``, InvalidRequestError for damage."""
    for decoder in decoders:
        try:
            body = decoder(body, max_bytes + 1)
        except zlib.error:
            raise InvalidRequestError(
                "The request body is not what its Content-Encoding says: the data are damaged or cut off.",
                code="invalid_content_encoding",
            ) from None
        if len(body) > max_bytes:
            raise BodyTooLargeError(f"The request body is larger than {max_bytes} bytes when inflated.")
    return body


def _gunzip(data: bytes, max_bytes: int) -> bytes:
    """A gzip file may have several members."""
    inflated = b""
    for _ in range(_MAX_GZIP_MEMBERS):
        part, data = _inflate(data, _GZIP_BITS, max_bytes - len(inflated))
        inflated += part
        if not data or len(inflated) == max_bytes:
            return inflated
    raise zlib.error("too many members")


def _undeflate(data: bytes, max_bytes: int) -> bytes:
    """The standard means zlib's form; many a sender means what is inside it."""
    try:
        return _inflate(data, _ZLIB_BITS, max_bytes)[0]
    except zlib.error:
        return _inflate(data, _RAW_BITS, max_bytes)[0]


def _inflate(data: bytes, window_bits: int, max_bytes: int) -> tuple[bytes, bytes]:
    """Returns at most ``max_bytes`` of the text, and what follows its end."""
    inflater = zlib.decompressobj(window_bits)
    inflated = inflater.decompress(data, max_bytes)
    if not inflater.eof and len(inflated) < max_bytes:
        raise zlib.error("cut off")
    return inflated, inflater.unused_data


_DECODERS: dict[str, Decoder] = {"gzip": _gunzip, "x-gzip": _gunzip, "deflate": _undeflate}
