"""Copies of a model's float32 folder that cost more and say the same, or cost the same and say it worse."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks.weights import COMPLETE, ROOT

_SILENT = ("self_attn.o_proj.weight", "mlp.down_proj.weight")  # by which a layer adds to what passes through


def changed_folder(base: Path, target: Path, *, num_layers: int = 0, noise: float = 0.0) -> Path:
    """Makes ``target`` once, by a process of its own so that the caller stays small.

    ``num_layers``: in all, those beyond the model's own silent. ``noise``: the standard deviation of what is
    added to each matrix, in the matrix's own.
    """
    if not (target / COMPLETE).exists():
        command = [sys.executable, "-m", "benchmarks.changed_weights", str(base), str(target)]
        subprocess.run([*command, str(num_layers), str(noise)], cwd=ROOT, check=True)
    return target


def _make(base: Path, target: Path, num_layers: int, noise: float) -> None:
    import mlx.core as mx

    shutil.copytree(base, target, dirs_exist_ok=True, ignore=shutil.ignore_patterns(COMPLETE))
    weights: dict[str, Any] = mx.load(str(base / "model.safetensors"))  # type: ignore[assignment]
    config = json.loads((base / "config.json").read_text())
    if num_layers:
        weights |= _silent_layers(weights, range(config["num_hidden_layers"], num_layers), mx.zeros_like)
        config["num_hidden_layers"] = num_layers
    if noise:
        mx.random.seed(0)
        weights = {
            name: w if w.ndim < 2 else w + noise * mx.std(w) * mx.random.normal(w.shape)
            for name, w in weights.items()
        }
    mx.save_safetensors(str(target / "model.safetensors"), weights, {"format": "mlx"})
    (target / "config.json").write_text(json.dumps(config, indent=2))
    (target / COMPLETE).touch()


def _silent_layers(weights: dict[str, Any], layers: range, zeros_like: Any) -> dict[str, Any]:
    """Copies of the first layer that pass on what they get."""
    first = "model.layers.0."
    own = {name.removeprefix(first): w for name, w in weights.items() if name.startswith(first)}
    return {
        f"model.layers.{layer}.{name}": zeros_like(w) if name in _SILENT else w
        for layer in layers
        for name, w in own.items()
    }


if __name__ == "__main__":
    _make(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4]))
