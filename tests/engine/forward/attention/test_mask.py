from __future__ import annotations

import mlx.core as mx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from api.engine.forward.attention.mask import HIDDEN, AttentionMask


def test_causal_rows_are_the_last_and_see_themselves_and_all_before() -> None:
    assert AttentionMask(2, 4).visible().tolist() == [[[[True, True, True, False], [True] * 4]]]


@settings(max_examples=60, deadline=None)
@given(num_rows=st.integers(1, 6), before=st.integers(0, 8), parts=st.tuples(*[st.integers(0, 14)] * 2))
def test_a_bias_hides_what_is_not_visible(num_rows: int, before: int, parts: tuple[int, int]) -> None:
    num_keys = before + num_rows
    first, end = sorted(min(part, num_keys) for part in parts)
    mask = AttentionMask(num_rows, num_keys)
    visible, bias = np.array(mask.visible())[..., first:end], mask.bias(first, end)
    if bias is None:
        assert visible.all()
    else:
        assert np.array_equal(np.array(bias), np.where(visible, 0.0, np.float32(HIDDEN)))


def test_keys_before_the_rows_need_no_bias() -> None:
    mask = AttentionMask(256, 100_000)
    assert mask.bias(0, 99_744) is None
    assert mask.bias(99_744, 100_000) is not None


def test_what_layers_ask_for_is_made_once() -> None:
    calls = []

    def visible() -> mx.array:
        calls.append(1)
        return mx.array([[[[True, False]]]])

    mask = AttentionMask(1, 2, visible)
    assert not calls and not mask.is_causal
    assert mask.bias(0, 2) is mask.bias(0, 2)
    assert mask.bias(1, 2) is not None and mask.visible() is mask.visible()
    assert len(calls) == 1


@pytest.mark.parametrize(("first", "end"), [(0, 3), (2, 4)])
def test_a_part_of_a_given_mask(first: int, end: int) -> None:
    visible = mx.array([[[[True, False, True, True]]]])
    bias = AttentionMask(1, 4, lambda: visible).bias(first, end)
    assert bias is not None
    assert (bias == 0).tolist() == visible[..., first:end].tolist()
