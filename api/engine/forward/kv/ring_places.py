"""Where the rows of one class lie in the rings of its slots."""

from __future__ import annotations

import mlx.core as mx

Index = tuple[mx.array, mx.array, mx.array]


class RowPlaces:
    """Where rows of one class go: a slot and a position each, as indices of a slot array's first three axes.

    Made once for each number of heads and length of ring, and used by all layers. A slice for the heads
    would do as well, but becomes an array of its own in each write.
    """

    def __init__(self, slots: mx.array, positions: mx.array) -> None:
        """``slots`` and ``positions``: int32 ``[rows]``."""
        self.slots = slots
        self.positions = positions
        self._made: dict[tuple[int, int], Index] = {}

    def of(self, num_heads: int, ring: int) -> Index:
        """Slots, heads and places in the ring, each int32 ``[rows, num_heads]``."""
        key = (num_heads, ring)
        if key not in self._made:
            zeros = mx.zeros((self.slots.shape[0], num_heads), dtype=mx.int32)
            heads = mx.arange(num_heads, dtype=mx.int32)
            self._made[key] = (
                zeros + self.slots[:, None],
                zeros + heads,
                zeros + (self.positions % ring)[:, None],
            )
        return self._made[key]


def ring_parts(start: int, num_tokens: int, ring: int) -> tuple[slice, ...]:
    """Where positions ``start .. start + num_tokens - 1``, at most ``ring`` of them, lie, in their order.

    Behind one another, or around the ring's end.
    """
    first = start % ring
    fitting = min(num_tokens, ring - first)
    whole = slice(first, first + fitting)
    return (whole,) if fitting == num_tokens else (whole, slice(0, num_tokens - fitting))
