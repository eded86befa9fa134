"""The default model as a float32 MLX folder, so that any MLX server can serve the same weights."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TOKENIZER_FILES = (
    "tokenizer*.json",
    "special_tokens_map.json",
    "chat_template.jinja",
    "generation_config.json",
)
COMPLETE = "complete"  # written last: a folder without it is an interrupted export


def float32_folder(model: str | None, target: Path) -> Path:
    """Exports ``model`` (None: the embedded default) to ``target`` once and returns ``target``."""
    if not (target / COMPLETE).exists():
        command = [sys.executable, "-m", "benchmarks.weights", str(target), *([model] if model else [])]
        subprocess.run(command, cwd=ROOT, check=True)  # its own process: the caller stays small
    return target


def default_target(model: str | None) -> Path:
    name = Path(model).stem if model else "default-model"
    return Path(tempfile.gettempdir()) / "benchmark-weights" / f"{name}-float32"


def _export(model: str | None, target: Path) -> None:
    target.mkdir(parents=True, exist_ok=True)
    from api.engine.cpu.blas.load import preload_blas

    preload_blas()  # before mlx is imported

    import mlx.core as mx
    from mlx.utils import tree_flatten, tree_map
    from mlx_lm.utils import _get_classes

    from api.config import EngineConfig
    from api.engine.loading.load import load_model
    from api.engine.loading.locate import locate_model

    files = locate_model(model, print)
    loaded = load_model(files, EngineConfig(model=model), _get_classes, print)
    parameters = tree_map(lambda array: array.astype(mx.float32), loaded.model.parameters())
    mx.save_safetensors(str(target / "model.safetensors"), dict(tree_flatten(parameters)), {"format": "mlx"})
    _write_config(loaded.config, target)
    _copy_tokenizer(loaded.folder, target)
    (target / COMPLETE).touch()


def _write_config(config: dict[str, object], target: Path) -> None:
    kept = {key: value for key, value in config.items() if not key.startswith("quantization")}
    text = json.dumps(kept | {"torch_dtype": "float32"}, indent=2, default=sorted)
    (target / "config.json").write_text(text + "\n")


def _copy_tokenizer(source: Path, target: Path) -> None:
    for pattern in TOKENIZER_FILES:
        for path in source.glob(pattern):
            shutil.copy(path, target / path.name)


if __name__ == "__main__":
    _export(sys.argv[2] if len(sys.argv) > 2 else None, Path(sys.argv[1]))
