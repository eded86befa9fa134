"""Names for what is the same in every process. Must not import mlx: kernels are chosen before."""

from __future__ import annotations

import hashlib

_FINGERPRINT_DIGITS = 12


def fingerprint_of(value: object) -> str:
    """As clients see it: the same for values with the same ``repr``."""
    return f"fp_{digest(value, _FINGERPRINT_DIGITS)}"


def digest(value: object, num_digits: int) -> str:
    """Hexadecimal, for the names of files and folders: the same for values with the same ``repr``."""
    return hashlib.sha256(repr(value).encode()).hexdigest()[:num_digits]
