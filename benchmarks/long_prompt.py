"""Long prompts on an idle server: this one and ``mlx_lm.server`` in turns, then 100,000 tokens in process.

Both servers have the same weights and BLAS; only one runs at a time. Every prompt is new to both.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

if not __package__:  # run as a file
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.deep_prompt import DEPTHS, deep_findings, make_tiny_model, read_deep_prompt
from benchmarks.load import chat_body, stream_chat
from benchmarks.prompts import story_prompt
from benchmarks.report import Comparison, Finding, Target, all_met, print_report
from benchmarks.scenarios import warm_up
from benchmarks.servers import Server, mlx_lm_server, only, openblas_environment, project_server
from benchmarks.weights import default_target, float32_folder

LENGTHS = (1500, 3000, 6800)  # tokens, roughly
MIN_RATE_RATIO = 1.5
PARTS = ("servers", "deep")


@dataclass(frozen=True, slots=True)
class Reading:
    """One prompt alone on a server."""

    num_tokens: int
    ttft_seconds: float

    @property
    def tokens_per_second(self) -> float:
        return self.num_tokens / self.ttft_seconds


Readings = dict[int, list[Reading]]  # by wanted length, one for each round


def main(argv: list[str] | None = None) -> int:
    """Returns 0 when every target is met, 1 otherwise."""
    options = _parse(argv)
    openblas_environment()  # before mlx is imported
    folder = float32_folder(options.model, options.weights or default_target(options.model))
    findings: list[Finding] = []
    if "servers" in options.part:
        with project_server(folder) as project, mlx_lm_server(folder) as reference:
            ours, theirs = measure_servers(project, reference, options.rounds)
        findings += server_findings(ours, theirs)
    if "deep" in options.part:
        with tempfile.TemporaryDirectory() as target:
            findings += deep_findings(read_deep_prompt(make_tiny_model(folder, Path(target)), DEPTHS[-1]))
    print_report(
        findings, f"{options.rounds} round(s), medians; ratio = project / mlx_lm.server", "mlx_lm.server"
    )
    return 0 if all_met(findings) else 1


def _parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("model", nargs="?", help="folder, repo id or .gguf; default: the embedded model")
    parser.add_argument("--part", choices=PARTS, action="append", help="repeatable; default: both")
    parser.add_argument("--rounds", type=int, default=3, help="pairs of runs for each length (default 3)")
    parser.add_argument("--weights", type=Path, help="where the float32 folder is or will be")
    options = parser.parse_args(argv)
    options.part = options.part or list(PARTS)
    options.rounds = max(1, options.rounds)
    return options


def measure_servers(project: Server, reference: Server, rounds: int) -> tuple[Readings, Readings]:
    found: dict[str, Readings] = {server.name: {n: [] for n in LENGTHS} for server in (project, reference)}
    order = [project, reference]
    for server in order:
        with only(server, [other for other in order if other is not server]):
            warm_up(server)
    for seed in range(rounds):
        for length in LENGTHS:
            for server in order:
                with only(server, [other for other in order if other is not server]):
                    found[server.name][length].append(read_prompt(server, length, seed))
                print(f"  round {seed + 1} {server.name}: {found[server.name][length][-1]}", flush=True)
        order.reverse()
    return found[project.name], found[reference.name]


def read_prompt(server: Server, length: int, seed: int) -> Reading:
    """The seconds until the first token, which is all that is asked for."""
    body = chat_body(story_prompt(length, 100_000 * (seed + 1) + length), 1, server.model)
    answer = asyncio.run(stream_chat(server.url, body))
    return Reading(answer.num_prompt_tokens, answer.ttft_seconds)


def server_findings(ours: Readings, theirs: Readings) -> list[Finding]:
    findings: list[Finding] = []
    for length in ours:
        name = f"{ours[length][0].num_tokens}-token prompt"
        findings.append(_compare(f"TTFT of a {name}", "s", ours[length], theirs[length], _ttft))
        findings.append(
            _compare(f"rate of a {name}", "tokens/s", ours[length], theirs[length], _rate, MIN_RATE_RATIO)
        )
    for shorter, longer in pairwise(ours):
        findings.append(
            Comparison(
                f"time per token from {shorter} to {longer}",
                "ms",
                marginal_milliseconds(ours[shorter], ours[longer]),
                marginal_milliseconds(theirs[shorter], theirs[longer]),
            )
        )
    return findings


def marginal_milliseconds(shorter: Sequence[Reading], longer: Sequence[Reading]) -> tuple[float, ...]:
    """What each token of the longer prompt beyond the shorter one's took, by round."""
    return tuple(
        1000 * (b.ttft_seconds - a.ttft_seconds) / (b.num_tokens - a.num_tokens)
        for a, b in zip(shorter, longer, strict=True)
    )


def _compare(
    name: str,
    unit: str,
    ours: Sequence[Reading],
    theirs: Sequence[Reading],
    value: Callable[[Reading], float],
    at_least: float | None = None,
) -> Comparison:
    return Comparison(
        name, unit, tuple(map(value, ours)), tuple(map(value, theirs)), Target(at_least=at_least)
    )


def _ttft(reading: Reading) -> float:
    return reading.ttft_seconds


def _rate(reading: Reading) -> float:
    return reading.tokens_per_second


if __name__ == "__main__":
    sys.exit(main())
