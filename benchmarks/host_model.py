"""A model whose forward costs next to nothing: what is left of a step is the host's share."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from benchmarks.weights import COMPLETE, TOKENIZER_FILES


def host_model_folder(source: Path, target: Path, num_layers: int, hidden_size: int) -> Path:
    """Writes a llama with random weights, and the tokenizer and vocabulary of the model in ``source``."""
    target = target / f"{num_layers}-layers-{hidden_size}"
    if (target / COMPLETE).exists():
        return target
    target.mkdir(parents=True, exist_ok=True)
    for pattern in TOKENIZER_FILES:
        for path in source.glob(pattern):
            shutil.copy(path, target / path.name)
    given = json.loads((source / "config.json").read_text())
    _write(_config(given, num_layers, hidden_size), target)
    (target / COMPLETE).touch()
    return target


def _config(given: dict[str, object], num_layers: int, hidden_size: int) -> dict[str, object]:
    kept = {key: given[key] for key in ("vocab_size", "eos_token_id", "bos_token_id") if key in given}
    return kept | {
        "model_type": "llama",
        "hidden_size": hidden_size,
        "num_hidden_layers": num_layers,
        "intermediate_size": 2 * hidden_size,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": hidden_size // 4,
        "rms_norm_eps": 1e-5,
        "max_position_embeddings": 8192,
        "rope_theta": 10000.0,
        "tie_word_embeddings": True,
    }


def _write(config: dict[str, object], target: Path) -> None:
    import mlx.core as mx
    import mlx_lm.utils
    from mlx.utils import tree_flatten

    model_class, arguments = mlx_lm.utils._get_classes(config)
    mx.random.seed(0)
    model = model_class(arguments.from_dict(config))
    weights = dict(tree_flatten(model.parameters()))
    mx.save_safetensors(str(target / "model.safetensors"), weights, {"format": "mlx"})
    (target / "config.json").write_text(json.dumps(config, indent=2) + "\n")
