"""Numbers of rows that the device's matrix products like."""

from __future__ import annotations

# Fewer rows than these are cheaper as they are.
_FEWEST_PADDED_ROWS = 3


def padded_rows(num_rows: int, multiple: int) -> int:
    """The rows to compute for ``num_rows``: the next multiple, unless they are very few."""
    return num_rows if num_rows < _FEWEST_PADDED_ROWS else -(-num_rows // multiple) * multiple
