"""A tiny random llama on disk with the default model's tokenizer: a real server that answers at once."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SIZES = {
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "intermediate_size": 128,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "max_position_embeddings": 2048,
}
BYTES_PER_TOKEN = 2 * 2 * 2 * 16 * 4  # layers, keys and values, heads, dimensions, float32


def make_tiny_folder(target: Path) -> Path:
    """In a process of its own: the caller may not import mlx."""
    command = [sys.executable, "-m", "tests.soak.tiny_folder", str(target)]
    subprocess.run(command, cwd=ROOT, check=True)
    return target


def _make(target: Path) -> None:
    import mlx.core as mx
    from mlx.utils import tree_flatten
    from mlx_lm.models.llama import Model, ModelArgs

    from api.engine.model_loader.locate import locate_model
    from benchmarks.weights import TOKENIZER_FILES

    source = locate_model(None, print).folder
    config = json.loads((source / "config.json").read_text()) | SIZES
    config = {key: value for key, value in config.items() if not key.startswith("quantization")}
    mx.random.seed(7)
    model = Model(ModelArgs.from_dict(config))
    target.mkdir(parents=True, exist_ok=True)
    for pattern in TOKENIZER_FILES:
        for path in source.glob(pattern):
            shutil.copy(path, target / path.name)
    # Spread out: the best two logits of a random model are seldom close.
    parameters = dict(tree_flatten(model.parameters()))
    weights = {name: array if "norm" in name else 4 * array for name, array in parameters.items()}
    mx.save_safetensors(str(target / "model.safetensors"), weights, {"format": "mlx"})
    (target / "config.json").write_text(json.dumps(config))


if __name__ == "__main__":
    _make(Path(sys.argv[1]))
