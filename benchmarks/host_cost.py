"""The host's share of a step: 32 layers of a tiny model with a real vocabulary, ours against mlx-lm's.

On a fast GPU a step of a small model takes a few milliseconds, so what the host does in each decides. Here
the forward costs next to nothing: scheduler and generator against mlx-lm's BatchGenerator, and with one row
against its generate_step, some steps of each in turn. Then where a step's time goes, what the threads of a
whole server take for a token, and how many operations a layer is made of.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

if not __package__:  # run as a file
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from api.config import EngineConfig, ServerConfig
from api.types import SamplingParams
from benchmarks.decode_steps import Turns
from benchmarks.host_model import host_model_folder
from benchmarks.sampling_cost import SchemaGrammar
from benchmarks.scenarios import measure_throughput, warm_up
from benchmarks.servers import openblas_environment, project_server
from benchmarks.step_phases import PHASES, StepPhases
from benchmarks.weights import ROOT, default_target, float32_folder

ROWS = (1, 8, 32)
TARGETS = {1: 0.7, 8: 0.5, 32: 0.25}  # of BatchGenerator's step
STREAM_TARGET = 1.0  # of generate_step's
MOST_MORE_OPERATIONS = 3.0  # a layer, over the plain model's
NUM_PHASE_STEPS = 30
PROMPT = tuple(range(1000, 1016))
TEMPERATURE = 0.8
MAX_TOKENS = 4000  # more than anybody counts


@dataclass(slots=True)
class HostCost:
    """The engine and mlx-lm's plain model over the same weights."""

    engine: Any
    model: Any
    grammar: SchemaGrammar

    def batch(self, kind: str, num_rows: int) -> Any:
        """So many sequences in an engine that has no others, none of which ends by itself."""
        from benchmarks.device.runners import EngineRunner

        sampling = {
            "greedy": lambda row: SamplingParams(temperature=0.0),
            "sampled": lambda row: SamplingParams(temperature=TEMPERATURE, seed=row),
            "grammar": lambda row: SamplingParams(temperature=0.0, grammar=self.grammar),
        }[kind]
        runner = EngineRunner(self.engine, uses_prefix_cache=True)
        for row in range(num_rows):
            runner.add(PROMPT, MAX_TOKENS, sampling(row))
        return runner

    def compare(self, kind: str, num_rows: int, num_turns: int) -> Turns:
        """``kind``: greedy or sampled."""
        from mlx_lm.sample_utils import make_sampler

        from benchmarks.device.runners import MlxLmRunner, StepRunner

        sampler = make_sampler(TEMPERATURE if kind == "sampled" else 0.0)
        runners = {"ours": self.batch(kind, num_rows), "BatchGenerator": MlxLmRunner(self.model, sampler)}
        if num_rows == 1:
            runners["generate_step"] = StepRunner(self.model, sampler)
        for name, runner in runners.items():
            for _ in range(num_rows if name != "ours" else 0):
                runner.add(PROMPT, MAX_TOKENS)
        turns = Turns({name: runner.step for name, runner in runners.items()})
        turns.run(num_turns)
        for runner in runners.values():
            runner.close()
        return turns

    def phases(self, kind: str, num_rows: int) -> dict[str, float]:
        """Milliseconds of a step by phase."""
        ours = self.batch(kind, num_rows)
        for _ in range(10):
            ours.step()
        phases = StepPhases()
        with phases.watching(self.engine):
            for _ in range(NUM_PHASE_STEPS):
                ours.step()
        ours.close()
        return {name: 1000 * phases.seconds[name] / NUM_PHASE_STEPS for name in PHASES}


def report_steps(cost: HostCost, num_turns: int, rows: tuple[int, ...]) -> tuple[list[dict[str, Any]], bool]:
    results, all_met = [], True
    for kind in ("greedy", "sampled"):
        for num_rows in rows:
            turns = cost.compare(kind, num_rows, num_turns)
            print(f"\n{num_rows} rows, {kind}: " + _steps_line(turns))
            for reference in list(turns.steps)[1:]:
                is_stream = reference == "generate_step"
                target = STREAM_TARGET if is_stream else TARGETS.get(num_rows)
                ratio = turns.ratio("ours", reference)
                all_met &= target is None or ratio <= target
                name = f"ours / {reference}, {num_rows} rows, {kind}"
                print(f"ratio {name}: {ratio:.3f} {_verdict(ratio, target)}", flush=True)
                results.append({"rows": num_rows, "kind": kind, "reference": reference, "ratio": ratio})
    return results, all_met


def _steps_line(turns: Turns) -> str:
    return ", ".join(f"{name} {turns.median(name):.1f} ms" for name in turns.steps)


def _verdict(ratio: float, target: float | None) -> str:
    if target is None:
        return "no target"
    return f"<= {target:g} " + ("met" if ratio <= target else "MISSED")


def report_phases(cost: HostCost, rows: tuple[int, ...]) -> list[dict[str, Any]]:
    print("\nMilliseconds of a step by phase")
    results: list[dict[str, Any]] = []
    for kind in ("greedy", "sampled", "grammar"):
        for num_rows in rows:
            phases = cost.phases(kind, num_rows)
            words = ", ".join(f"{name} {value:.2f}" for name, value in phases.items())
            print(f"  {num_rows:2} rows, {kind}: {words}", flush=True)
            results.append({"rows": num_rows, "kind": kind, "milliseconds": phases})
    return results


def report_threads(folder: Path, rows: tuple[int, ...]) -> list[dict[str, Any]]:
    """Processor time of a server's threads for a token; [] where the system does not tell."""
    results: list[dict[str, Any]] = []
    with project_server(folder) as server:
        warm_up(server)
        for num_rows in rows:
            before = server.get("/stats")["thread_cpu_seconds"]
            result = measure_throughput(server, num_rows, seed=num_rows)
            after = server.get("/stats")["thread_cpu_seconds"]
            per_token = {
                name: 1000 * (after[name] - before[name]) / result.num_output_tokens
                for name in ("main", "processing", "batch", "results")
                if name in before
            }
            words = ", ".join(f"{name} {value:.3f}" for name, value in per_token.items())
            print(f"  {num_rows:2} streams over HTTP, ms of processor time a token: {words}", flush=True)
            results.append({"streams": num_rows, "milliseconds_per_token": per_token})
    return results


def report_operations(folder: Path) -> tuple[dict[str, float], bool]:
    command = [sys.executable, "-m", "benchmarks.operation_counts", str(folder / "config.json")]
    # Its own process: there the models are given a GPU's functions.
    counts: dict[str, float] = json.loads(subprocess.check_output(command, cwd=ROOT))
    met = True
    print("\nOperations a layer that are kernels on a GPU")
    for name, count in counts.items():
        more = count - counts["plain"]
        met &= more <= MOST_MORE_OPERATIONS
        print(f"  {name}: {count:.2f} ({more:+.2f})")
    return counts, met


def main(argv: list[str] | None = None) -> int:
    """Returns 0 when all targets are met, 1 otherwise."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--layers", type=int, default=32)
    parser.add_argument("--hidden", type=int, default=64, help="hidden size (default 64)")
    parser.add_argument("--rows", type=int, nargs="+", default=ROWS, help="default: 1 8 32")
    parser.add_argument("--turns", type=int, default=20, help="turns of five steps each (default 20)")
    parser.add_argument("--no-server", action="store_true", help="leave out the threads of a whole server")
    parser.add_argument("--json", type=Path, help="write what was measured to this file")
    options = parser.parse_args(argv)
    openblas_environment()  # before mlx is imported
    target = Path(tempfile.gettempdir()) / "benchmark-weights" / "host"
    source = float32_folder(None, default_target(None))
    folder = host_model_folder(source, target, options.layers, options.hidden)
    operations, is_lean = report_operations(folder)
    rows = tuple(options.rows)
    from mlx_lm.utils import load_model

    from api.assembly.engine import load_engine

    engine = load_engine(ServerConfig(engine=EngineConfig(model=str(folder), speculation="off")), print)
    cost = HostCost(engine, load_model(folder)[0], SchemaGrammar(folder))
    steps, all_met = report_steps(cost, options.turns, rows)
    phases = report_phases(cost, rows)
    threads = [] if options.no_server else report_threads(folder, rows)
    if options.json:
        found = {"steps": steps, "phases": phases, "threads": threads, "operations_per_layer": operations}
        options.json.write_text(json.dumps(found, indent=2) + "\n")
    return 0 if all_met and is_lean else 1


if __name__ == "__main__":
    sys.exit(main())
