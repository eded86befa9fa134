"""A tiny random model on disk with the default model's tokenizer: a real server that answers at once."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
CONTEXT_TOKENS = 2048


def make_tiny_folder(target: Path, architecture: str) -> Path:
    """In a process of its own: the caller may not import mlx."""
    command = [sys.executable, "-m", "tests.soak.tiny_folder", str(target), architecture]
    subprocess.run(command, cwd=ROOT, check=True)
    return target


def _make(target: Path, architecture: str) -> None:
    import mlx.core as mx
    import mlx_lm.utils
    from mlx.utils import tree_flatten

    from api.engine.loading.locate import locate_model
    from benchmarks.weights import TOKENIZER_FILES

    source = locate_model(None, print).folder
    config = _config(architecture, json.loads((source / "config.json").read_text()))
    mx.random.seed(7)
    model_class, args_class = mlx_lm.utils._get_classes(config)
    parameters = dict(tree_flatten(model_class(args_class.from_dict(config)).parameters()))
    target.mkdir(parents=True, exist_ok=True)
    for pattern in TOKENIZER_FILES:
        for path in source.glob(pattern):
            shutil.copy(path, target / path.name)
    # Spread out: the best two logits of a random model are seldom close.
    weights = {name: 2 * array if array.ndim > 1 else array for name, array in parameters.items()}
    mx.save_safetensors(str(target / "model.safetensors"), weights, {"format": "mlx"})
    (target / "config.json").write_text(json.dumps(config))


def _config(architecture: str, default: dict[str, Any]) -> dict[str, Any]:
    """The tests' sizes with the default model's vocabulary."""
    from tests.engine.tiny_models import CONFIGS

    own = {"vocab_size": default["vocab_size"], "max_position_embeddings": CONTEXT_TOKENS}
    config: dict[str, Any] = CONFIGS[architecture] | own
    if "text_config" in config:
        config["text_config"] = config["text_config"] | own
    return config | {key: default[key] for key in ("eos_token_id", "bos_token_id")}


if __name__ == "__main__":
    _make(Path(sys.argv[1]), sys.argv[2])
