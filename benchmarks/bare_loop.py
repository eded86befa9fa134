"""The server against a bare loop of forwards over the same rows, and where the rest goes.

In this process the engine answers the load once and every plan is kept; then the plans alone are run
again, which is the bare loop: forwards and argmax, no scheduler, no text, no HTTP. The same load then
goes to the server. While one runs, the other is stopped.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import urllib.request
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

if not __package__:  # run as a file
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from api.config import EngineConfig, ServerConfig
from api.step_plan import StepPlan
from api.types import ChatPrompt, GenerationRequest, SamplingParams
from benchmarks.prompts import story_prompts
from benchmarks.scenarios import NUM_ANSWER_TOKENS, NUM_PROMPT_TOKENS, measure_throughput, warm_up
from benchmarks.servers import Server, openblas_environment, project_server
from benchmarks.weights import default_target, float32_folder

MIN_RATIO = 0.9
STREAMS = (8, 32)
WARM_UP_SEED = 1000


@dataclass(frozen=True, slots=True)
class EngineRun:
    """The engine's answer to one load."""

    plans: tuple[StepPlan, ...]
    samplings: dict[int, SamplingParams]  # of the sequences that the plans name
    num_output_tokens: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Round:
    """One round in numbers; rates are output tokens per second."""

    bare_rate: float
    engine_rate: float
    server_rate: float
    server_step_share: float  # of the server's wall time that its batch thread spent in steps
    server_mean_step_seconds: float
    bare_mean_step_seconds: float


def run_engine(engine: Any, num_streams: int, seed: int) -> EngineRun:
    """The closed loop of the throughput scenario, straight on scheduler and generator."""
    waiting = deque(story_prompts(2 * num_streams, NUM_PROMPT_TOKENS, seed))
    plans: list[StepPlan] = []
    samplings: dict[int, SamplingParams] = {}
    num_tokens = 0
    started = time.perf_counter()
    for _ in range(num_streams):
        samplings |= _submit(engine, waiting)
    while engine.scheduler.has_work:
        plans.append(engine.scheduler.schedule())
        for output in engine.scheduler.update(engine.generator.step(plans[-1])):
            num_tokens += 1
            if output.is_last and waiting:
                samplings |= _submit(engine, waiting)
    return EngineRun(tuple(plans), samplings, num_tokens, time.perf_counter() - started)


def _submit(engine: Any, waiting: deque[str]) -> dict[int, SamplingParams]:
    """Returns how the new sequence samples, by its id."""
    prompt = waiting.popleft()
    request = GenerationRequest(
        request_id=f"bare-{time.perf_counter_ns()}",
        prompt=ChatPrompt(({"role": "user", "content": prompt},)),
        sampling=SamplingParams(temperature=0.0),
        max_tokens=NUM_ANSWER_TOKENS,
        arrival_seconds=time.monotonic(),
    )
    ((sequence, _),) = engine.prompt_reader.read(request)
    engine.scheduler.add(sequence)
    engine.generator.add(sequence.sequence_id, sequence.sampling)
    return {sequence.sequence_id: sequence.sampling}


def replay(engine: Any, run: EngineRun) -> float:
    """Runs the plans again and returns the seconds that took."""
    engine.generator.reset()
    for sequence_id, sampling in run.samplings.items():
        engine.generator.add(sequence_id, sampling)
    started = time.perf_counter()
    for plan in run.plans:
        engine.generator.step(plan)
    return time.perf_counter() - started


def measure(engine: Any, server: Server, num_streams: int, seed: int) -> Round:
    server.pause()
    try:
        run = run_engine(engine, num_streams, seed)
        bare_seconds = replay(engine, run)
    finally:
        server.resume()
    warm_up(server)  # its last step may have been under way when it was paused
    before = _steps(server)
    result = measure_throughput(server, num_streams, seed)
    num_steps, step_seconds = (after - b for after, b in zip(_steps(server), before, strict=True))
    wall_seconds = result.num_output_tokens / result.output_tokens_per_second
    return Round(
        bare_rate=run.num_output_tokens / bare_seconds,
        engine_rate=run.num_output_tokens / run.seconds,
        server_rate=result.output_tokens_per_second,
        server_step_share=step_seconds / wall_seconds,
        server_mean_step_seconds=step_seconds / num_steps,
        bare_mean_step_seconds=bare_seconds / len(run.plans),
    )


def _steps(server: Server) -> tuple[float, float]:
    """Number of steps that the server has run, and their seconds."""
    with urllib.request.urlopen(server.url + "/stats", timeout=10) as response:
        steps = json.load(response)["step_seconds"]
    return steps["count"], steps["count"] * steps["mean"]


def report(num_streams: int, rounds: list[Round]) -> bool:
    """Prints medians and returns whether the target is met."""
    ratio = median(r.server_rate / r.bare_rate for r in rounds)
    lines = (
        ("bare loop", median(r.bare_rate for r in rounds), "tokens/s"),
        ("scheduler and generator", median(r.engine_rate for r in rounds), "tokens/s"),
        ("server", median(r.server_rate for r in rounds), "tokens/s"),
        ("bare step", 1000 * median(r.bare_mean_step_seconds for r in rounds), "ms"),
        ("server step", 1000 * median(r.server_mean_step_seconds for r in rounds), "ms"),
        ("server time in steps", 100 * median(r.server_step_share for r in rounds), "%"),
    )
    print(f"\n{num_streams} streams, {len(rounds)} round(s), medians")
    for name, value, unit in lines:
        print(f"  {name:<26}{value:8.1f} {unit}")
    verdict = "met" if ratio >= MIN_RATIO else "MISSED"
    print(
        f"ratio {num_streams} streams, server / bare loop: {ratio:.3f} >= {MIN_RATIO} {verdict}", flush=True
    )
    return ratio >= MIN_RATIO


def main(argv: list[str] | None = None) -> int:
    """Returns 0 when every target is met, 1 otherwise."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("model", nargs="?", help="folder, repo id or .gguf; default: the embedded model")
    parser.add_argument("--weights", type=Path, help="where the float32 folder is or will be")
    parser.add_argument("--rounds", type=int, default=3, help="rounds for each number of streams (default 3)")
    parser.add_argument("--streams", type=int, nargs="+", default=STREAMS, help="default: 8 32")
    options = parser.parse_args(argv)
    openblas_environment()  # before mlx is imported
    from api.assembly.engine import load_engine

    folder = float32_folder(options.model, options.weights or default_target(options.model))
    engine = load_engine(ServerConfig(engine=EngineConfig(model=str(folder))), print)
    with project_server(folder) as server:
        warm_up(server)
        run_engine(engine, 8, WARM_UP_SEED)
        results = [
            report(n, [measure(engine, server, n, seed) for seed in range(options.rounds)])
            for n in options.streams
        ]
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
