"""Whether several copies of the weights fit, before any is loaded."""

from __future__ import annotations

import json
from pathlib import Path

from api.config import CpuWeights
from api.engine.device.free_memory import gigabytes, is_cpu_backend, shared_free_bytes
from api.engine.loading.locate import ModelFiles
from api.errors import StartupError

_UNQUANTISED_FACTOR = 2  # 16-bit weights become float32
_GGUF_FACTOR = 7  # 4-bit blocks with their scales become float32


def require_room(
    files: ModelFiles, num_workers: int, cpu_weights: CpuWeights, kv_memory_bytes: int | None = None
) -> None:
    """Raises StartupError when ``num_workers`` copies of the weights exceed the free memory, or these with
    what each worker is to have for its chats.
    """
    is_widened = is_cpu_backend() and cpu_weights == "auto"
    needed_bytes = num_workers * (weight_bytes(files, is_widened) + (kv_memory_bytes or 0))
    available_bytes = shared_free_bytes()
    if available_bytes is not None and needed_bytes > available_bytes:
        kv = "" if kv_memory_bytes is None else " and --kv-memory"
        raise StartupError(
            f"{num_workers} workers need about {gigabytes(needed_bytes)} for their weights{kv}, "
            f"but {gigabytes(available_bytes)} are free; use fewer --workers (one batches all requests)"
        )


def weight_bytes(files: ModelFiles, is_widened: bool) -> int:
    """What one copy takes once loaded, in bytes; ``is_widened``: as float32."""
    if files.gguf is not None:
        stored_bytes, factor = files.gguf.stat().st_size, _GGUF_FACTOR
    else:
        stored_bytes = sum(path.stat().st_size for path in files.folder.glob("*.safetensors"))
        factor = _widening_factor(files.folder)
    return stored_bytes * (factor if is_widened else 1)


def _widening_factor(folder: Path) -> int:
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return _UNQUANTISED_FACTOR  # the loader will say what is wrong with the file
    quantization = config.get("quantization") if isinstance(config, dict) else None
    bits = quantization.get("bits") if isinstance(quantization, dict) else None
    return max(1, 32 // bits) if isinstance(bits, int) and bits > 0 else _UNQUANTISED_FACTOR
