"""What a draft model is worth: an engine with one against an engine without, in turns.

A fair pair of models needs a large one and a small one of one family. Where there is only the default model,
the large one is made of it: layers that change nothing are stacked upon its own, so that it says what the
default model says and costs a multiple. Then the default model itself drafts without error (the best case),
and copies of it with noise in their weights draft worse: the middle, and a draft that is of no use.

Stories drawn at temperature 1 with fixed seeds, by 1, 8 and 32 streams, both engines in this process: what
counts is decoding alone, from the first token of all to the end. Beside the rates it says how many tokens
came of a step, which does not depend on what else the machine does, and how many drafts came true.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

if not __package__:  # run as a file
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from api.config import EngineConfig, ServerConfig
from api.types import ChatPrompt, GenerationRequest, SamplingParams
from benchmarks.changed_weights import changed_folder
from benchmarks.prompts import story_prompts
from benchmarks.servers import openblas_environment
from benchmarks.weights import default_target, float32_folder

STREAMS = (1, 8, 32)
NUM_LAYERS = 120  # of the large model; the default one has 30
NOISES = (0.0, 0.05, 0.3)  # standard deviation of what is added to a weight, in the weights' own
NUM_ANSWER_TOKENS = 64
NUM_PROMPT_TOKENS = 48


@dataclass(frozen=True, slots=True)
class Run:
    """One engine's answers to one load, from the moment that all streams have begun."""

    num_tokens: int
    num_steps: int
    seconds: float

    @property
    def rate(self) -> float:
        return self.num_tokens / self.seconds


def main(argv: list[str] | None = None) -> int:
    options = _parse(argv)
    openblas_environment()  # before mlx is imported
    base = float32_folder(None, default_target(None))
    large = changed_folder(base, _beside(base, f"{options.layers}-layers"), num_layers=options.layers)
    plain = _load(large, None)
    for noise in options.noise:
        draft = changed_folder(base, _beside(base, f"noise-{noise}"), noise=noise) if noise else base
        drafting = _load(large, draft)
        for num_streams in options.streams:
            print(_compare(drafting, plain, num_streams, noise, options), flush=True)
    return 0


def _parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3, help="pairs of runs of each load (default 3)")
    parser.add_argument("--streams", type=int, nargs="+", default=STREAMS, help="default: 1 8 32")
    parser.add_argument("--noise", type=float, nargs="+", default=NOISES, help="default: 0 0.05 0.3")
    parser.add_argument("--layers", type=int, default=NUM_LAYERS, help="of the large model (default 120)")
    parser.add_argument("--tokens", type=int, default=NUM_ANSWER_TOKENS, help="of each answer (default 64)")
    return parser.parse_args(argv)


def _beside(base: Path, name: str) -> Path:
    return base.with_name(f"{base.name}-{name}")


def _load(folder: Path, draft: Path | None) -> Any:
    from api.assembly.engine import load_engine

    name = None if draft is None else str(draft)
    config = EngineConfig(model=str(folder), draft_model=name, prefix_cache="off", tune="off")
    return load_engine(ServerConfig(engine=config), lambda line: None)


def _compare(drafting: Any, plain: Any, num_streams: int, noise: float, options: argparse.Namespace) -> str:
    runs: dict[int, list[Run]] = {id(drafting): [], id(plain): []}
    before = drafting.scheduler.stats()
    for seed in range(options.rounds):
        for engine in (drafting, plain) if seed % 2 == 0 else (plain, drafting):
            runs[id(engine)].append(_run(engine, num_streams, seed, options.tokens))
    after = drafting.scheduler.stats()
    num_drafted = after.num_drafted_tokens - before.num_drafted_tokens
    num_accepted = after.num_accepted_drafts - before.num_accepted_drafts
    pairs = list(zip(runs[id(drafting)], runs[id(plain)], strict=True))
    ratio = median(ours.rate / theirs.rate for ours, theirs in pairs)
    ours, theirs = (_tokens_a_step(each) for each in runs.values())
    share = f"{num_accepted / num_drafted:.2f} of {num_drafted} came true" if num_drafted else "no drafts"
    return (
        f"noise {noise:<5} {num_streams:3} stream(s)  rate {ratio:5.2f} of plain decoding  "
        f"{ours:5.1f} tokens a step, not {theirs:5.1f}  {share}"
    )


def _tokens_a_step(runs: list[Run]) -> float:
    return sum(run.num_tokens for run in runs) / sum(run.num_steps for run in runs)


def _run(engine: Any, num_streams: int, seed: int, num_tokens: int) -> Run:
    scheduler, generator = engine.scheduler, engine.generator
    prompts = story_prompts(num_streams, NUM_PROMPT_TOKENS, 1000 * num_streams + seed)
    for index, prompt in enumerate(prompts):
        sequence = _sequence(engine, prompt, index, num_tokens)
        scheduler.add(sequence)
        generator.add(sequence.sequence_id, sequence.sampling)
    begun: set[str] = set()
    counted = num_steps = 0
    started = time.perf_counter()
    while scheduler.has_work:
        plan = scheduler.schedule()
        outputs = scheduler.update(generator.step(plan), generator.read_seconds)
        if len(begun) < num_streams:
            begun |= {output.request_id for output in outputs}
            started = time.perf_counter()
            continue
        counted += len(outputs)
        num_steps += bool(plan.spans)
    return Run(counted, num_steps, time.perf_counter() - started)


def _sequence(engine: Any, prompt: str, index: int, num_tokens: int) -> Any:
    request = GenerationRequest(
        request_id=f"draft-{time.perf_counter_ns()}",
        prompt=ChatPrompt(({"role": "user", "content": prompt},)),
        sampling=SamplingParams(temperature=1.0, seed=index),
        max_tokens=num_tokens,
        arrival_seconds=time.monotonic(),
    )
    ((sequence, _),) = engine.prompt_reader.read(request)
    sequence.eos_token_ids = frozenset()
    return sequence


if __name__ == "__main__":
    sys.exit(main())
