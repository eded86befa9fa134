from __future__ import annotations

import mlx.core as mx
import pytest

from api.engine.forward.attention import attention
from api.engine.forward.attention.mask import AttentionMask
from api.engine.forward.latent import RotaryKeys, RotaryScores, latent_attention

NUM_LATENT, NUM_ROTARY, NUM_KEYS = 8, 4, 60


def random_inputs(num_rows: int) -> tuple[mx.array, mx.array, mx.array]:
    mx.random.seed(0)
    queries = mx.random.normal((2, 3, num_rows, NUM_LATENT + NUM_ROTARY))
    shape = (2, 1, NUM_KEYS)
    return queries, mx.random.normal((*shape, NUM_LATENT)), mx.random.normal((*shape, NUM_ROTARY))


def wanted(queries: mx.array, latents: mx.array, rotary: mx.array, visible: mx.array | None) -> mx.array:
    """Attention by its definition, at scale 0.5; the rotary part is scaled already."""
    scores = 0.5 * queries[..., :NUM_LATENT] @ latents.swapaxes(-1, -2)
    scores = scores + queries[..., NUM_LATENT:] @ rotary.swapaxes(-1, -2)
    if visible is not None:
        scores = mx.where(visible, scores, -mx.inf)
    return mx.softmax(scores, axis=-1) @ latents


@pytest.mark.parametrize("num_rows", [1, 5, 40])
@pytest.mark.parametrize("is_masked", [False, True])
@pytest.mark.parametrize("limit_bytes", [1, 2**28])
def test_it_is_attention(
    num_rows: int, is_masked: bool, limit_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attention, "_MAX_SCORES_BYTES", limit_bytes)
    mask = AttentionMask(num_rows, NUM_KEYS) if is_masked else None
    inputs = random_inputs(num_rows)
    got = latent_attention(*inputs, 0.5, mask, None)
    assert mx.allclose(got, wanted(*inputs, mask.visible() if mask else None), atol=1e-5)


def test_rotary_keys_remember_what_they_are_multiplied_with() -> None:
    keys, queries = RotaryKeys(mx.ones((2, 1, 1, 4))), mx.ones((2, 3, 1, 4))
    scores = (queries * 2) @ keys.swapaxes(-1, -2)
    assert isinstance(scores, RotaryScores)
    assert mx.array_equal(scores.queries, queries * 2) and scores.keys is keys
