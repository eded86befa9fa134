from __future__ import annotations

import mlx.core as mx
import mlx_lm.models.base
import mlx_lm.models.llama
import pytest

from api.engine.forward.model_package import class_finder, load_model_package
from tests.engine.tiny_models import CONFIGS, build_model, build_plain_model, platform


def test_the_package_is_private_and_mlx_lm_stays_as_it_is() -> None:
    original = mlx_lm.models.base.scaled_dot_product_attention
    package = load_model_package(platform().model_functions)
    model_class, _ = class_finder(package)(CONFIGS["llama"])
    assert model_class is not mlx_lm.models.llama.Model
    assert model_class.__module__.startswith(package.__name__)
    assert mlx_lm.models.llama.scaled_dot_product_attention is original
    assert load_model_package(platform().model_functions) is package


def test_an_unknown_architecture_is_a_value_error() -> None:
    find = class_finder(load_model_package(platform().model_functions))
    with pytest.raises(ValueError, match="no_such_model"):
        find({"model_type": "no_such_model"})


@pytest.mark.parametrize("name", CONFIGS)
def test_without_our_caches_the_models_are_mlx_lm_own(name: str) -> None:
    tokens = mx.array([[5, 60, 7, 33, 2, 91]])
    assert mx.allclose(build_model(name)(tokens), build_plain_model(name)(tokens), atol=1e-4)
