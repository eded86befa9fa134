"""What a prefix cache is worth: this server against ``mlx_lm.server``, same weights, same BLAS, in turns.

Two loads: a conversation of 20 turns, each of which sends the whole history again, and 32 chats that come
at once with the same system prompt of 1,000 tokens. Both servers cache prompts on their own terms.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

if not __package__:  # run as a file
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.load import Answer, messages_body, stream_chat
from benchmarks.prompts import WORDS, story_prompt
from benchmarks.report import Comparison, Finding, Target, all_met, print_report
from benchmarks.scenarios import warm_up
from benchmarks.servers import Server, mlx_lm_server, only, project_server
from benchmarks.weights import default_target, float32_folder

NUM_TURNS = 20
NUM_MESSAGE_WORDS = 30
NUM_ANSWER_TOKENS = 16
NUM_CHATS = 32
NUM_SHARED_TOKENS = 1000
MAX_SHARED_RATIO = 1 / 3  # time to all first tokens
SCENARIOS = ("conversation", "shared-prompt")


@dataclass(frozen=True, slots=True)
class Conversation:
    """Sums over the turns after the first, and what the last one took."""

    ttft_seconds: float
    last_ttft_seconds: float
    num_prompt_tokens: int
    num_cached_tokens: int


def main(argv: list[str] | None = None) -> int:
    """Returns 0 when every target is met, 1 otherwise."""
    options = _parse(argv)
    folder = float32_folder(None, options.weights or default_target(None))
    with project_server(folder) as project, mlx_lm_server(folder) as reference:
        findings = _measure(project, reference, options)
    print_report(findings, f"{options.rounds} round(s), medians", reference.name)
    return 0 if all_met(findings) else 1


def _parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--scenario", choices=SCENARIOS, action="append", help="repeatable; default: all")
    parser.add_argument("--rounds", type=int, default=2, help="pairs of runs (default 2)")
    parser.add_argument("--weights", type=Path, help="where the float32 folder is or will be")
    options = parser.parse_args(argv)
    options.scenario = options.scenario or list(SCENARIOS)
    return options


def _measure(project: Server, reference: Server, options: argparse.Namespace) -> list[Finding]:
    servers = [project, reference]
    for server in servers:
        with only(server, [other for other in servers if other is not server]):
            warm_up(server)
    findings: list[Finding] = []
    if "conversation" in options.scenario:
        findings += _conversation_findings(*_rounds(servers, options.rounds, measure_conversation))
    if "shared-prompt" in options.scenario:
        ours, theirs = _rounds(servers, options.rounds, measure_shared_prompt)
        name = f"{NUM_CHATS} chats, {NUM_SHARED_TOKENS} shared tokens: all first tokens"
        target = Target(at_most=MAX_SHARED_RATIO)
        findings.append(Comparison(name, "s", tuple(ours), tuple(theirs), target))
    return findings


Result = TypeVar("Result")


def _rounds(
    servers: list[Server], num_rounds: int, measure: Callable[[Server, int], Result]
) -> tuple[list[Result], list[Result]]:
    results: dict[str, list[Result]] = {server.name: [] for server in servers}
    order = list(servers)
    for seed in range(num_rounds):
        for server in order:
            with only(server, [other for other in order if other is not server]):
                results[server.name].append(measure(server, seed))
            print(f"  round {seed + 1} {server.name}: {results[server.name][-1]}", flush=True)
        order.reverse()
    return results[servers[0].name], results[servers[1].name]


def measure_conversation(server: Server, seed: int) -> Conversation:
    """Turn after turn; the history grows by a message and an answer each."""
    return asyncio.run(_conversation(server, seed))


async def _conversation(server: Server, seed: int) -> Conversation:
    draw = random.Random(seed)
    messages: list[dict[str, str]] = []
    answers: list[Answer] = []
    for _ in range(NUM_TURNS):
        words = " ".join(draw.choice(WORDS) for _ in range(NUM_MESSAGE_WORDS))
        messages.append({"role": "user", "content": f"Say something about {words}."})
        answers.append(
            await stream_chat(server.url, messages_body(messages, NUM_ANSWER_TOKENS, server.model))
        )
        messages.append({"role": "assistant", "content": answers[-1].text})
    later = answers[1:]
    return Conversation(
        ttft_seconds=sum(answer.ttft_seconds for answer in later),
        last_ttft_seconds=answers[-1].ttft_seconds,
        num_prompt_tokens=sum(answer.num_prompt_tokens for answer in later),
        num_cached_tokens=sum(answer.num_cached_tokens for answer in later),
    )


def _conversation_findings(ours: list[Conversation], theirs: list[Conversation]) -> list[Finding]:
    def pair(name: str, unit: str, value: Callable[[Conversation], float], target: Target) -> Finding:
        return Comparison(name, unit, tuple(map(value, ours)), tuple(map(value, theirs)), target)

    turns = f"{NUM_TURNS} turns"
    return [
        pair(f"{turns}: sum of TTFTs after the first", "s", lambda c: c.ttft_seconds, Target()),
        pair(f"{turns}: TTFT of the last", "s", lambda c: c.last_ttft_seconds, Target()),
        pair(
            f"{turns}: share of prompt tokens not cached",
            "",
            lambda c: 1 - c.num_cached_tokens / c.num_prompt_tokens,
            Target(),
        ),
    ]


def measure_shared_prompt(server: Server, seed: int) -> float:
    """Seconds until each of the chats, which come at once, has its first token."""
    system = story_prompt(NUM_SHARED_TOKENS, seed)
    bodies = [
        messages_body(
            [
                {"role": "system", "content": system},
                {"role": "user", "content": f"Question {index}: which word comes first?"},
            ],
            2,
            server.model,
        )
        for index in range(NUM_CHATS)
    ]
    return asyncio.run(_all_first_tokens(server, bodies))


async def _all_first_tokens(server: Server, bodies: list[dict[str, object]]) -> float:
    started = time.perf_counter()
    answers = await asyncio.gather(*(stream_chat(server.url, body) for body in bodies))
    return max(answer.started + answer.ttft_seconds for answer in answers) - started


if __name__ == "__main__":
    sys.exit(main())
