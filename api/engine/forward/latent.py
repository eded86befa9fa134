"""The flat step for attention that keeps latents (MLA): one latent and one rotary key for each token.

Models with such attention multiply rotary queries and keys themselves and hand the product to the
attention as its mask; with one token in a row they attend over the latents directly. So the rotary keys
that they get remember what they were multiplied with, and the scores are made later, against the slots.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import mlx.core as mx

from api.engine.forward.attention.attention import row_tiles
from api.engine.forward.attention.mask import AttentionMask
from api.engine.forward.flat import FlatLayer

_SCORE_BYTES = 4  # in float32, at most


@dataclass(frozen=True, slots=True)
class RotaryScores:
    """Scores still to be made, of scaled queries ``[rows, heads, 1, D]`` and a layer's rotary keys."""

    queries: mx.array
    keys: mx.array  # of the step's own tokens, [rows, 1, 1, D]


class RotaryKeys(mx.array):
    """Keys that postpone ``queries @ keys.swapaxes(-1, -2)``. Python asks a subclass before the class."""

    def swapaxes(self, axis1: int, axis2: int, **kwargs: Any) -> RotaryKeys:
        return self

    def __rmatmul__(self, queries: mx.array) -> RotaryScores:  # type: ignore[misc]
        return RotaryScores(queries, self)


class LatentLayer(FlatLayer):
    """A ``FlatLayer`` over ``latent_attention``: its keys are latents and its values rotary keys, as in
    mlx-lm's own caches."""

    def make_mask(  # type: ignore[override]
        self, n: int, return_array: bool = False, window_size: int | None = None
    ) -> None:
        """None: the model is to leave the scores as they are. Raises TypeError for a window."""
        if window_size is not None or self._window is not None:
            raise TypeError("a layer keeps latents and has a window")

    def update_and_fetch(self, keys: mx.array, values: mx.array) -> tuple[mx.array, mx.array]:
        return keys, RotaryKeys(values)

    def attend(
        self, queries: mx.array, keys: mx.array, values: mx.array, scale: float, mask: Any, sinks: Any
    ) -> mx.array:
        """``queries [rows, heads, 1, latent]``; both parts travel as one array to where the slots are read.

        Raises TypeError where the model does not attend over the latents as described above.
        """
        if not isinstance(mask, RotaryScores) or keys is not values or sinks is not None:
            raise TypeError("the model does not attend over its latents")
        both = mx.concatenate([queries, mask.queries], axis=-1)
        return super().attend(both, keys, mask.keys, scale, None, None)


def latent_attention(
    queries: mx.array,
    keys: mx.array,
    values: mx.array,
    scale: float,
    mask: AttentionMask | None,
    sinks: mx.array | None,
) -> mx.array:
    """``Attention`` of ``queries [B, heads, N, latent + D]``, whose second part is scaled already, over
    latents ``keys [B, 1, L, latent]`` and rotary keys ``values [B, 1, L, D]``.

    Returns ``[B, heads, N, latent]``. Some rows at a time where all scores would be a large array.
    """
    visible = None if mask is None else mask.visible()
    outputs = []
    for rows in row_tiles(queries, keys, _SCORE_BYTES):
        seen = visible if visible is None or queries.shape[2] == 1 else visible[:, :, rows]
        outputs.append(_attend(queries[:, :, rows], keys, values, scale, seen))
    return outputs[0] if len(outputs) == 1 else mx.concatenate(outputs, axis=2)


def _attend(
    queries: mx.array, latents: mx.array, rotary: mx.array, scale: float, visible: mx.array | None
) -> mx.array:
    num_latent = latents.shape[-1]
    scores = queries[..., num_latent:] @ rotary.swapaxes(-1, -2)
    if visible is not None:
        scores = mx.where(visible, scores, mx.array(mx.finfo(scores.dtype).min, scores.dtype))
    return mx.fast.scaled_dot_product_attention(
        queries[..., :num_latent], latents, latents, scale=scale, mask=scores
    )
