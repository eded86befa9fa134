"""A model under check: the server's own engine around random weights, and plain mlx-lm around the same."""

from __future__ import annotations

import random
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import mlx.core as mx
import mlx.nn as nn

from api.assembly.engine import LoadedEngine, load_engine
from api.config import EngineConfig, ServerConfig
from api.engine.cpu.weights import widen
from api.engine.device.free_memory import is_cpu_backend
from api.engine.loading.load import LoadedModel, context_length, weight_bytes
from api.engine.loading.locate import ModelFiles
from api.types import Report
from benchmarks.device.model_folder import write_model_folder
from benchmarks.device.random_model import GetClasses, build_random_model, plain_twin
from benchmarks.device.shapes import Shape


@dataclass(slots=True)
class Subject:
    """Belongs to the thread that made it."""

    engine: LoadedEngine
    loaded: LoadedModel
    plain: nn.Module
    default_cache_bytes: int  # what MLX may keep for reuse where nobody says: mlx-lm's setting
    engine_cache_bytes: int
    lines: list[str] = field(default_factory=list)  # what the load said

    @contextmanager
    def as_plain_mlx_lm(self) -> Iterator[nn.Module]:
        """mlx-lm is measured with MLX's own settings, not with the server's."""
        mx.set_cache_limit(self.default_cache_bytes)
        try:
            yield self.plain
        finally:
            mx.synchronize()
            mx.clear_cache()
            mx.set_cache_limit(self.engine_cache_bytes)

    def draw_prompt(self, num_tokens: int, seed: int) -> list[int]:
        draw = random.Random(seed)
        vocab_size = int(self.loaded.config["vocab_size"])
        return [draw.randrange(vocab_size) for _ in range(num_tokens)]


class _Reader:
    """In the place of the loader that reads weights: makes them."""

    def __init__(self, shape: Shape) -> None:
        self._shape = shape
        self.loaded: LoadedModel | None = None

    def __call__(
        self, files: ModelFiles, config: EngineConfig, get_classes: GetClasses, report: Report
    ) -> LoadedModel:
        model = build_random_model(self._shape.config, self._shape.precision, get_classes)
        if is_cpu_backend() and config.cpu_weights == "auto":
            widen(model)
        mx.eval(model.parameters())
        report(f"Random weights: {weight_bytes(model) / 1e9:.2f} GB")
        self.loaded = LoadedModel(
            model=model,
            config=self._shape.config,
            folder=files.folder,
            num_parameters=int(self._shape.num_parameters),
            weight_bytes=weight_bytes(model),
            context_length=context_length(self._shape.config, config.max_context_tokens),
            vocab_size=self._shape.config["vocab_size"],
            eos_token_ids=frozenset(),
            fingerprint=f"random-{self._shape.name}",
        )
        return self.loaded


def load_subject(shape: Shape, **options: Any) -> Subject:
    """``options``: of the engine. Raises StartupError as the server would."""
    default_cache_bytes = mx.set_cache_limit(0)
    mx.set_cache_limit(default_cache_bytes)
    reader, lines = _Reader(shape), list[str]()
    with tempfile.TemporaryDirectory(prefix="device-check-") as folder:
        path = write_model_folder(shape.config, Path(folder))
        config = EngineConfig(model=str(path), cpu_weights="auto" if shape.widens else "keep", **options)
        engine = load_engine(ServerConfig(engine=config), lines.append, reader)
    assert reader.loaded is not None
    engine_cache_bytes = mx.set_cache_limit(default_cache_bytes)
    mx.set_cache_limit(engine_cache_bytes)
    plain = plain_twin(reader.loaded.model, shape.config)
    return Subject(engine, reader.loaded, plain, default_cache_bytes, engine_cache_bytes, lines)
