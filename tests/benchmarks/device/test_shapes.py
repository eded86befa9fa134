from __future__ import annotations

import mlx_lm.utils
import pytest
from mlx.utils import tree_flatten

from benchmarks.device.random_model import empty_model
from benchmarks.device.shapes import REAL, SHAPES, TINY, Shape


@pytest.mark.parametrize("shape", SHAPES.values(), ids=lambda shape: shape.name)
def test_mlx_lm_knows_the_shape_and_it_is_as_large_as_it_says(shape: Shape) -> None:
    model = empty_model(shape.config, mlx_lm.utils._get_classes)
    num_parameters = sum(array.size for _, array in tree_flatten(model.parameters()))
    assert num_parameters == pytest.approx(shape.num_parameters, rel=0.03)


def test_every_kind_is_there_in_both_precisions() -> None:
    for shapes in (REAL, TINY):
        kinds = {(shape.config["model_type"], shape.has_state) for shape in shapes}
        assert {"qwen3", "qwen3_moe"} <= {name for name, has_state in kinds if not has_state}
        assert any(has_state for _, has_state in kinds)
        assert {shape.precision for shape in shapes} == {"bf16", "4-bit"}


def test_four_bits_take_four_and_a_half() -> None:
    assert SHAPES["qwen3-8b-4bit"].weight_bytes == pytest.approx(8.19e9 * 4.5 / 8)
    assert SHAPES["qwen3-8b-bf16"].weight_bytes == pytest.approx(2 * 8.19e9)
