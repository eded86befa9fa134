"""Model folders in MLX format, of random weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import mlx.core as mx
import mlx.nn as nn
from mlx.utils import tree_flatten
from mlx_lm.models import llama

from tests.text.conftest import byte_level, write_folder


def write_llama_folder(folder: Path, config: dict[str, Any]) -> Path:
    """With a tokenizer of bytes and a chat template."""
    write_folder(folder, byte_level())
    return write_model(folder, llama.Model(llama.ModelArgs.from_dict(config)), config)


def write_model(folder: Path, model: nn.Module, config: dict[str, Any]) -> Path:
    """Weights and settings, in a folder that may be there."""
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    mx.save_safetensors(str(folder / "model.safetensors"), dict(tree_flatten(model.parameters())))
    return folder
