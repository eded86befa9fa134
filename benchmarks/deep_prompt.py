"""Reads one very long prompt in this process with a tiny random model: is the rate steady to the end?

The model is small so that attention is nearly all that its rows cost; the engine is the server's own.
"""

from __future__ import annotations

import json
import random
import shutil
import time
from collections.abc import Sequence as Items
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

from api.config import EngineConfig, ServerConfig
from api.engine.sequences.sequence import Sequence
from api.types import SamplingParams
from benchmarks.report import Limit, Target

DEPTHS = (10_000, 25_000, 50_000, 100_000)  # tokens
WINDOW_TOKENS = 2_500  # before each depth, over which its time per token is taken
MAX_GROWTH_RATIO = 1.3
MAX_MEMORY_RATIO = 2.5  # a class that is outgrown and its successor, and a step's arrays
CONFIG: dict[str, Any] = {
    "model_type": "llama",
    "hidden_size": 128,
    "num_hidden_layers": 2,
    "intermediate_size": 256,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 64,
    "rms_norm_eps": 1e-5,
    "rope_theta": 1e6,
    "max_position_embeddings": 131_072,
    "tie_word_embeddings": True,
}
TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json")


@dataclass(frozen=True, slots=True)
class Progress:
    """After a step: how far the prompt is read, and the seconds since its start."""

    num_read: int
    seconds: float


@dataclass(frozen=True, slots=True)
class DeepRead:
    """One prompt read to its end."""

    progress: tuple[Progress, ...]
    peak_bytes: int  # beyond what the loaded model takes
    kv_bytes: int  # of all tokens, without any slack


def make_tiny_model(tokenizer_folder: Path, target: Path) -> Path:
    """Writes a random model with the vocabulary of another model's folder."""
    import mlx.core as mx
    from mlx.utils import tree_flatten
    from mlx_lm.models.llama import Model, ModelArgs

    target.mkdir(parents=True, exist_ok=True)
    for name in TOKENIZER_FILES:
        shutil.copy(tokenizer_folder / name, target / name)
    vocab_size = json.loads((tokenizer_folder / "config.json").read_text())["vocab_size"]
    config = CONFIG | {"vocab_size": vocab_size}
    (target / "config.json").write_text(json.dumps(config))
    mx.random.seed(0)
    model = Model(ModelArgs.from_dict(config))
    mx.save_safetensors(
        str(target / "model.safetensors"), dict(tree_flatten(model.parameters())), {"format": "mlx"}
    )
    return target


def read_deep_prompt(folder: Path, num_tokens: int) -> DeepRead:
    """Reads ``num_tokens`` random tokens and samples one."""
    import mlx.core as mx

    from api.assembly.engine import load_engine

    engine = load_engine(ServerConfig(engine=EngineConfig(model=str(folder), prefix_cache="off")), print)
    sequence = _sequence(num_tokens, engine.vocab_size)
    loaded_bytes = mx.get_active_memory()
    mx.reset_peak_memory()
    engine.scheduler.add(sequence)
    engine.generator.add(sequence.sequence_id, sequence.sampling)
    progress, started = [], time.perf_counter()
    while engine.scheduler.has_work:
        num_read = sequence.num_computed
        plan = engine.scheduler.schedule()
        engine.scheduler.update(engine.generator.step(plan))
        progress.append(Progress(num_read, time.perf_counter() - started))
    return DeepRead(tuple(progress), mx.get_peak_memory() - loaded_bytes, _kv_bytes(num_tokens))


def _sequence(num_tokens: int, vocab_size: int) -> Sequence:
    draw = random.Random(0)
    return Sequence(
        sequence_id=1,
        request_id="deep",
        token_ids=[draw.randrange(vocab_size) for _ in range(num_tokens)],
        num_prompt_tokens=num_tokens,
        max_tokens=1,
        sampling=SamplingParams(temperature=0.0),
        arrival_seconds=time.monotonic(),
    )


def _kv_bytes(num_tokens: int) -> int:
    values = CONFIG["num_hidden_layers"] * 2 * CONFIG["num_key_value_heads"] * CONFIG["head_dim"]
    return int(num_tokens * values * 4)


def milliseconds_per_token(progress: Items[Progress], depth: int) -> float:
    """Of the median step among those of the last tokens before ``depth``."""
    within = [p for p in progress if depth - WINDOW_TOKENS <= p.num_read <= depth]
    return median(
        1000 * (after.seconds - before.seconds) / (after.num_read - before.num_read)
        for before, after in pairwise(within)
        if after.num_read > before.num_read
    )


def growth_ratio(times: dict[int, float]) -> float:
    """What a token of context adds to a token's time at the end of the prompt, over what it adds before.

    1 where the time grows with attention's arithmetic alone.
    """
    first, _, middle, last = sorted(times)
    late = (times[last] - times[middle]) / (last - middle)
    return late / ((times[middle] - times[first]) / (middle - first))


def deep_findings(read: DeepRead, depths: Items[int] = DEPTHS) -> list[Limit]:
    times = {depth: milliseconds_per_token(read.progress, depth) for depth in depths}
    shown = [Limit(f"time per token at {depth:,}", "ms", ms, Target()) for depth, ms in times.items()]
    memory_ratio = read.peak_bytes / read.kv_bytes
    return [
        *shown,
        Limit("growth of it in the last half", "x", growth_ratio(times), Target(at_most=MAX_GROWTH_RATIO)),
        Limit("peak memory over the tokens' KV", "x", memory_ratio, Target(at_most=MAX_MEMORY_RATIO)),
    ]
