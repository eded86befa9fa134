"""What speculation is worth: two servers of this project, one with ``--speculation off``, in turns.

Code edits, where an answer repeats its prompt: one stream is asked to repeat a module of sixty lines with a
small change, greedily, to the answer's own end. Prose, where there is nothing to gain: stories drawn at
temperature 1 with fixed seeds, by 1, 8 and 32 streams. A code edit's rate is that of its decoding, from the
first token to the end; prose counts from the first request to the last answer. Both servers stay up; only
one runs at a time.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

if not __package__:  # run as a file
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.code_prompts import edit_prompts
from benchmarks.load import Answer, chat_body, closed_loop, stream_chat
from benchmarks.prompts import story_prompts
from benchmarks.report import Comparison, Finding, Target, all_met, print_report
from benchmarks.scenarios import warm_up
from benchmarks.servers import Server, only, project_server
from benchmarks.weights import default_target, float32_folder

MIN_EDIT_RATIO = 2.0
MIN_PROSE_RATIO = 0.97
NUM_EDIT_TOKENS = 450  # no edited module is longer
NUM_STORY_TOKENS = 64
NUM_STORY_PROMPT_TOKENS = 64
PROSE_STREAMS = (1, 8, 32)

Measure = Callable[[Server, int], float]


def main(argv: list[str] | None = None) -> int:
    """Returns 0 when every target is met, 1 otherwise."""
    options = _parse(argv)
    folder = float32_folder(None, options.weights or default_target(None))
    with project_server(folder) as speculating, project_server(folder, "--speculation", "off") as plain:
        plain.name = "speculation off"
        findings = _measure(speculating, plain, options)
    print_report(findings, f"{options.rounds} round(s), medians", plain.name)
    return 0 if all_met(findings) else 1


def _parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3, help="pairs of runs of each load (default 3)")
    parser.add_argument(
        "--streams",
        type=int,
        nargs="*",
        default=PROSE_STREAMS,
        help="streams that write prose (default: 1 8 32)",
    )
    parser.add_argument("--no-edits", action="store_true", help="prose only")
    parser.add_argument("--weights", type=Path, help="where the float32 folder is or will be")
    return parser.parse_args(argv)


def _measure(speculating: Server, plain: Server, options: argparse.Namespace) -> list[Finding]:
    servers = [speculating, plain]
    for server in servers:
        with only(server, [other for other in servers if other is not server]):
            warm_up(server)
    findings: list[Finding] = []
    if not options.no_edits:
        pair = _rounds(servers, options.rounds, measure_edit)
        findings.append(_comparison("code edit, 1 stream", pair, MIN_EDIT_RATIO))
    for number in options.streams:
        pair = _rounds(servers, options.rounds, prose_of(number))
        findings.append(_comparison(f"prose, {number} stream(s)", pair, MIN_PROSE_RATIO))
    return findings


def _comparison(name: str, pair: list[list[float]], at_least: float) -> Comparison:
    ours, theirs = pair
    return Comparison(name, "tokens/s", tuple(ours), tuple(theirs), Target(at_least=at_least))


def _rounds(servers: list[Server], rounds: int, measure: Measure) -> list[list[float]]:
    """Both servers' results of each round; who begins changes from round to round."""
    results: list[list[float]] = [[], []]
    for seed in range(rounds):
        for index in (0, 1) if seed % 2 == 0 else (1, 0):
            with only(servers[index], [servers[1 - index]]):
                results[index].append(measure(servers[index], seed))
            print(f"  round {seed + 1} {servers[index].name}: {results[index][-1]:.1f} tokens/s", flush=True)
    return results


def measure_edit(server: Server, seed: int) -> float:
    """Tokens per second of one edit's decoding, another edit in each round."""
    prompts = edit_prompts()
    body = chat_body(prompts[seed % len(prompts)], NUM_EDIT_TOKENS, server.model)
    return decode_rate(asyncio.run(stream_chat(server.url, body)))


def decode_rate(answer: Answer) -> float:
    """Tokens after the first one, by the time that they took."""
    return (answer.num_completion_tokens - 1) / (answer.ended - answer.token_times[0])


def prose_of(num_streams: int) -> Measure:
    """Tokens per second of all streams together, each with two stories; a single one with four."""

    def measure(server: Server, seed: int) -> float:
        number = 4 if num_streams == 1 else 2 * num_streams
        prompts = story_prompts(number, NUM_STORY_PROMPT_TOKENS, 1000 * num_streams + seed)
        bodies = [_story_body(prompt, server.model, index) for index, prompt in enumerate(prompts)]
        return asyncio.run(closed_loop(server.url, bodies, num_streams)).output_tokens_per_second

    return measure


def _story_body(prompt: str, model: str, seed: int) -> dict[str, Any]:
    return chat_body(prompt, NUM_STORY_TOKENS, model) | {"temperature": 1.0, "seed": seed, "ignore_eos": True}


if __name__ == "__main__":
    sys.exit(main())
