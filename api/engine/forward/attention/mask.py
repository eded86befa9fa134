"""Which keys the rows of an attention see, in the forms that the devices want."""

from __future__ import annotations

from collections.abc import Callable

import mlx.core as mx

# Far below any score, but finite: a row that sees nothing of some keys still has a highest score there.
HIDDEN = -1e30


class AttentionMask:
    """Made once a step for each kind of layer. Nothing is computed before somebody asks, and that once.

    ``visible()`` is boolean ``[B, 1, rows, keys]`` (True: attend); no function means *causal*: the rows
    are the last of the keys, and each sees itself and all before it. Then no array over all keys is made.
    """

    def __init__(self, num_rows: int, num_keys: int, visible: Callable[[], mx.array] | None = None) -> None:
        self.is_causal = visible is None
        self._num_rows = num_rows
        self._num_keys = num_keys
        self._make = visible
        self._visible: mx.array | None = None
        self._biases: dict[tuple[int, int], mx.array] = {}

    def visible(self) -> mx.array:
        """Boolean ``[B, 1, rows, keys]``."""
        if self._visible is None:
            self._visible = self._part(0, self._num_keys) if self._make is None else self._make()
        return self._visible

    def bias(self, first: int, end: int) -> mx.array | None:
        """What to add to the scores of keys ``first .. end - 1``: float32 ``[B, 1, rows, end - first]``, 0
        or ``HIDDEN``. None where all of them are seen, which is known of causal rows only.

        An addition takes the CPU a twentieth of the time of a selection by a boolean mask.
        """
        if self.is_causal and end <= self._num_keys - self._num_rows + 1:
            return None
        if (first, end) not in self._biases:
            part = self._part(first, end) if self._make is None else self.visible()[..., first:end]
            self._biases[first, end] = mx.where(part, mx.array(0.0), mx.array(HIDDEN))
        return self._biases[first, end]

    def _part(self, first: int, end: int) -> mx.array:
        rows = mx.arange(self._num_keys - self._num_rows, self._num_keys)[:, None]
        return (mx.arange(first, end)[None] <= rows)[None, None]
