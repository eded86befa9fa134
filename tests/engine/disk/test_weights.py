from __future__ import annotations

import mlx.core as mx
import mlx.nn as nn

from api.engine.disk.weights import weights_digest


def create_model(seed: int = 0, size: int = 32) -> nn.Sequential:
    mx.random.seed(seed)
    return nn.Sequential(nn.Linear(size, size), nn.Linear(size, size))


def test_the_same_weights_have_the_same_digest() -> None:
    assert weights_digest(create_model()) == weights_digest(create_model())


def test_others_of_the_same_shapes_have_another() -> None:
    tuned, halved = create_model(), create_model()
    tuned.layers[1].weight += 0.01 * mx.ones((32, 1)) @ mx.ones((1, 32))
    halved.set_dtype(mx.bfloat16)
    models = [create_model(), tuned, halved, create_model(seed=1), create_model(size=16)]
    models.append(nn.Sequential(*(nn.QuantizedLinear(64, 64) for _ in range(2))))
    assert len({weights_digest(model) for model in models}) == len(models)
