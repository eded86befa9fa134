"""What quantised keys and values change: greedy answers and logits with 8 and 4 bits against none.

Each prompt is answered greedily without quantisation. The same tokens then go through the quantised forward,
which tells in how many places it would have gone on differently, how far its answer follows before the
first of them, and how far apart the two distributions are. Bytes of a token are printed beside it.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import Any

if not __package__:  # run as a file
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from rich.console import Console
from rich.table import Table

from benchmarks.prompts import story_prompts
from benchmarks.servers import openblas_environment
from benchmarks.weights import default_target, float32_folder

KV_BITS = (None, 8, 4)
NUM_PROMPTS = 8
NUM_PROMPT_TOKENS = 300
NUM_ANSWER_TOKENS = 64
CHUNK_TOKENS = 64
SLOT_TOKENS = 512


@dataclass(frozen=True, slots=True)
class Drift:
    """Of one number of bits, over all answers."""

    bytes_per_token: int
    num_same: int  # places where the likeliest token is the same
    num_places: int
    num_followed_tokens: float  # of an answer before the first difference, on average
    divergence: float  # Kullback-Leibler, nats a token, on average


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("model", nargs="?", help="folder, repo id or .gguf; default: the embedded model")
    parser.add_argument("--weights", type=Path, help="where the float32 folder is or will be")
    options = parser.parse_args(argv)
    folder = float32_folder(options.model, options.weights or default_target(options.model))
    openblas_environment()
    _print(_measure(folder))
    return 0


def _measure(folder: Path) -> dict[int | None, Drift]:
    """Imports mlx, so only after the BLAS is in place."""
    import mlx.core as mx

    forwards = {bits: _forward(folder, bits) for bits in KV_BITS}
    prompts = _prompts(folder)
    plain, _ = forwards[None]
    answers = [_greedy(plain, prompt) for prompt in prompts]
    drifts = {}
    for bits, (logits_of, bytes_per_token) in forwards.items():
        same: list[list[bool]] = []
        divergences: list[float] = []
        for prompt, answer in zip(prompts, answers, strict=True):
            tokens, first = prompt + answer[:-1], len(prompt) - 1
            wanted, got = plain(tokens, 0)[first:], logits_of(tokens, 0)[first:]
            same.append([bool(hit) for hit in (mx.argmax(got, axis=-1) == mx.array(answer)).tolist()])
            divergences.append(_divergence(wanted, got))
        followed = [row.index(False) if False in row else len(row) for row in same]
        drifts[bits] = Drift(
            bytes_per_token, sum(map(sum, same)), sum(map(len, same)), mean(followed), mean(divergences)
        )
    return drifts


# Tokens, behind so many that were given before -> logits of all of them.
Forward = Callable[[list[int], int], Any]


def _forward(folder: Path, bits: int | None) -> tuple[Forward, int]:
    """And the bytes of a token."""
    import mlx.core as mx

    from api.config import EngineConfig
    from api.engine.device.platform import detect_platform
    from api.engine.forward.choosing.choose import choose_forward
    from api.engine.forward.model_package import class_finder, load_model_package
    from api.engine.loading.load import load_model
    from api.engine.loading.locate import locate_model
    from api.step_plan import Slot, Span, StepPlan

    platform, config = detect_platform(), EngineConfig(model=str(folder))
    find_classes = class_finder(load_model_package(platform.model_functions))
    loaded = load_model(locate_model(str(folder), _silent), config, find_classes, _silent)
    size = loaded.config["vocab_size"]
    chosen = choose_forward(loaded.model, platform, size, CHUNK_TOKENS, "auto", _silent, bits)

    def logits_of(tokens: list[int], num_before: int) -> mx.array:
        parts = []
        for first in range(0, len(tokens), CHUNK_TOKENS):
            ids, start = tuple(tokens[first : first + CHUNK_TOKENS]), num_before + first
            span = Span(1, Slot(SLOT_TOKENS, 0), start, ids, len(ids), 0)
            plan = StepPlan(spans=(span,), num_slots=((SLOT_TOKENS, 1),))
            parts.append(chosen.forward(plan, mx.array(ids)))
            mx.eval(parts[-1], chosen.forward.state())
        return mx.concatenate(parts).astype(mx.float32)

    return logits_of, chosen.slot_bytes(1)


def _prompts(folder: Path) -> list[list[int]]:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    return [tokenizer.encode(text) for text in story_prompts(NUM_PROMPTS, NUM_PROMPT_TOKENS, seed=1)]


def _greedy(logits_of: Forward, prompt: list[int]) -> list[int]:
    answer = [int(logits_of(prompt, 0)[-1].argmax().item())]
    while len(answer) < NUM_ANSWER_TOKENS:
        place = len(prompt) + len(answer) - 1
        answer.append(int(logits_of(answer[-1:], place)[-1].argmax().item()))
    return answer


def _divergence(wanted: Any, got: Any) -> float:
    import mlx.core as mx

    p, q = (x - mx.logsumexp(x, axis=-1, keepdims=True) for x in (wanted, got))
    return float(mx.mean(mx.sum(mx.exp(p) * (p - q), axis=-1)).item())


def _silent(line: str) -> None:
    """The loader's progress is of no interest here."""


def _print(drifts: dict[int | None, Drift]) -> None:
    table = Table(title=f"{NUM_PROMPTS} greedy answers of {NUM_ANSWER_TOKENS} tokens", title_justify="left")
    for heading in ("--kv-bits", "bytes a token", "same token", "followed", "divergence"):
        table.add_column(heading, justify="right")
    for bits, drift in drifts.items():
        table.add_row(
            str(bits or "none"),
            f"{drift.bytes_per_token:,}",
            f"{drift.num_same / drift.num_places:.1%}",
            f"{drift.num_followed_tokens:.1f} tokens",
            f"{drift.divergence:.2g} nats",
        )
    Console(width=100).print(table)


if __name__ == "__main__":
    sys.exit(main())
