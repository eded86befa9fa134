"""This server against ``mlx_lm.server``: same weights, same BLAS, same requests, in turns.

Both servers stay up; only one runs at a time, the other one's process is stopped (SIGSTOP). Each
round measures both one after the other with prompts that neither has seen, and swaps the order.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
from collections.abc import Callable
from dataclasses import astuple
from importlib.metadata import version
from pathlib import Path
from typing import TypeVar

if not __package__:  # run as a file
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.report import Comparison, Finding, Limit, Target, all_met, print_report, write_json
from benchmarks.scenarios import LongPrompt, Throughput, measure_long_prompt, measure_throughput, warm_up
from benchmarks.servers import Server, mlx_lm_server, only, project_server
from benchmarks.weights import default_target, float32_folder

MIN_THROUGHPUT_RATIO = {32: 1.3, 8: 1.1, 1: 1.0}  # by number of streams
MAX_P99_GAP_RATIO = {32: 0.25}
MAX_LONG_PROMPT_GAP_RATIO = 0.05
MAX_LONG_PROMPT_TTFT_RATIO = 1.2
MAX_PEAK_MEMORY_GB = 1.5  # with the default model
SCENARIOS = ("throughput-32", "throughput-8", "throughput-1", "long-prompt")
MLX_LM_ARGS = ("--prompt-concurrency", "8")
Result = TypeVar("Result", Throughput, LongPrompt)


def main(argv: list[str] | None = None) -> int:
    """Returns 0 when every target is met, 1 otherwise."""
    options = _parse(argv)
    folder = float32_folder(options.model, options.weights or default_target(options.model))
    with project_server(folder) as project, mlx_lm_server(folder, *MLX_LM_ARGS) as reference:
        findings = _measure(project, reference, options)
    print_report(findings, _title(options.rounds), reference.name)
    if options.json:
        write_json(findings, options.json, _machine())
    return 0 if all_met(findings) else 1


def _parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("model", nargs="?", help="folder, repo id or .gguf; default: the embedded model")
    parser.add_argument("--scenario", choices=SCENARIOS, action="append", help="repeatable; default: all")
    parser.add_argument("--rounds", type=int, default=3, help="pairs of runs per scenario (default 3)")
    parser.add_argument("--quick", action="store_true", help="one round each")
    parser.add_argument("--weights", type=Path, help="where the float32 folder is or will be")
    parser.add_argument("--json", type=Path, help="write everything measured to this file")
    options = parser.parse_args(argv)
    options.rounds = 1 if options.quick else max(1, options.rounds)
    options.scenario = options.scenario or list(SCENARIOS)
    return options


def _measure(project: Server, reference: Server, options: argparse.Namespace) -> list[Finding]:
    for server, other in ((project, reference), (reference, project)):
        with only(server, [other]):
            warm_up(server)
    findings: list[Finding] = []
    for scenario in SCENARIOS:
        if scenario in options.scenario:
            findings += _run_scenario(scenario, project, reference, options.rounds)
    return findings


def _run_scenario(scenario: str, project: Server, reference: Server, rounds: int) -> list[Finding]:
    print(f"# {scenario}", flush=True)
    if scenario == "long-prompt":
        return _long_prompt_findings(*_rounds(project, reference, rounds, measure_long_prompt))
    num_streams = int(scenario.rpartition("-")[2])
    pairs = _rounds(
        project, reference, rounds, lambda server, seed: measure_throughput(server, num_streams, seed)
    )
    findings = _throughput_findings(num_streams, *pairs)
    return findings + (_memory_findings(project, reference) if num_streams == 32 else [])


def _rounds(
    project: Server, reference: Server, rounds: int, measure: Callable[[Server, int], Result]
) -> tuple[list[Result], list[Result]]:
    results: dict[str, list[Result]] = {project.name: [], reference.name: []}
    order = [project, reference]
    for seed in range(rounds):
        for server in order:
            with only(server, [other for other in order if other is not server]):
                results[server.name].append(measure(server, seed))
            print(f"  round {seed + 1} {server.name}: {results[server.name][-1]}", flush=True)
        order.reverse()
    return results[project.name], results[reference.name]


def _throughput_findings(num_streams: int, ours: list[Throughput], theirs: list[Throughput]) -> list[Finding]:
    at = f"{num_streams} stream" + "s" * (num_streams > 1)
    targets = (
        ("output", "tokens/s", Target(at_least=MIN_THROUGHPUT_RATIO[num_streams])),
        ("inter-token p50", "s", Target()),
        ("inter-token p99", "s", Target(at_most=MAX_P99_GAP_RATIO.get(num_streams))),
        ("TTFT p50", "s", Target()),
        ("TTFT p99", "s", Target()),
    )
    columns = zip(zip(*map(astuple, ours), strict=True), zip(*map(astuple, theirs), strict=True), strict=True)
    return [
        Comparison(f"{at}, {name}", unit, tuple(mine), tuple(other), target)
        for (name, unit, target), (mine, other) in zip(targets, columns, strict=False)
    ]


def _long_prompt_findings(ours: list[LongPrompt], theirs: list[LongPrompt]) -> list[Finding]:
    prompt = f"{ours[0].num_prompt_tokens}-token prompt"
    return [
        Comparison(
            f"longest gap of 8 streams, {prompt}",
            "s",
            tuple(result.longest_gap_seconds for result in ours),
            tuple(result.longest_gap_seconds for result in theirs),
            Target(at_most=MAX_LONG_PROMPT_GAP_RATIO),
        ),
        Comparison(
            f"TTFT of the {prompt}",
            "s",
            tuple(result.ttft_seconds for result in ours),
            tuple(result.ttft_seconds for result in theirs),
            Target(at_most=MAX_LONG_PROMPT_TTFT_RATIO),
        ),
    ]


def _memory_findings(project: Server, reference: Server) -> list[Finding]:
    ours, theirs = project.peak_memory_bytes(), reference.peak_memory_bytes()
    if ours is None or theirs is None:
        return []
    name = "peak memory at 32 streams"
    own = (ours - project.get("/stats")["prefix_cache"]["used_bytes"]) / 1e9
    limit = Limit(f"{name}, less kept prompts", "GB", own, Target(at_most=MAX_PEAK_MEMORY_GB))
    return [limit, Comparison(name, "GB", (ours / 1e9,), (theirs / 1e9,))]


def _title(rounds: int) -> str:
    return f"{_machine()['cores']} cores, {rounds} round(s), medians; ratio = project / mlx_lm.server"


def _machine() -> dict[str, str]:
    names = ("mlx", "mlx-lm")
    facts = {"system": platform.platform(), "cores": str(os.cpu_count()), "python": platform.python_version()}
    return facts | {name: version(name) for name in names}


if __name__ == "__main__":
    sys.exit(main())
