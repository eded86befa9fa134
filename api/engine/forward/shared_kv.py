"""The flat step for models whose later layers attend over the keys and values of earlier ones.

Such a model hands on what it got from ``update_and_fetch`` or ``keys_and_values``, along with another
layer's cache or none. So the keys that it gets know whose they are, and attention asks them first.
"""

from __future__ import annotations

from typing import Any

import mlx.core as mx

from api.engine.forward.flat import FlatLayer


class OwnedKeys(mx.array):
    """A step's keys, and the layer in whose slots they are put."""

    owner: FlatLayer

    def attend(self, *args: Any) -> mx.array:
        """As ``FlatLayer.attend``."""
        return self.owner.attend(*args)


class SharedLayer(FlatLayer):
    """A ``FlatLayer`` that may be attended over several times in a step, and writes at the first."""

    _latest: tuple[OwnedKeys, mx.array] | None = None
    _is_written = False

    def update_and_fetch(self, keys: mx.array, values: mx.array) -> tuple[mx.array, mx.array]:
        owned = OwnedKeys(keys)
        owned.owner = self
        self._latest, self._is_written = (owned, values), False
        return self._latest

    def keys_and_values(self) -> tuple[mx.array, mx.array]:
        """What ``update_and_fetch`` returned in this step."""
        assert self._latest is not None, "no step is under way"
        return self._latest

    def attend(self, queries: mx.array, keys: mx.array, *rest: Any) -> mx.array:
        """Raises TypeError for keys that ``update_and_fetch`` did not return."""
        if self._latest is None or keys is not self._latest[0]:
            raise TypeError("a layer attends over keys that are not its cache's")
        return super().attend(queries, keys, *rest)

    def _write(self, keys: mx.array, values: mx.array) -> None:
        if not self._is_written:
            super()._write(keys, values)
        self._is_written = True
