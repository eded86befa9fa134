"""Hands arrays to the device without waiting for them."""

from __future__ import annotations

import mlx.core as mx


def dispatch(*arrays: mx.array) -> None:
    mx.async_eval(*arrays)  # type: ignore[no-untyped-call]
