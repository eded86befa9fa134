"""``python -m benchmarks.load_test URL``: what clients of any OpenAI-compatible server feel under load.

Closed loop (--streams): so many clients, each sends its next request when the last one is answered.
Open loop (--rate): requests come at random, as from strangers (Poisson), whatever the server does.
Every prompt is new, answers are greedy and streamed, and each request has a connection of its own.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import sys
from collections.abc import Mapping
from dataclasses import asdict
from functools import partial
from itertools import accumulate
from pathlib import Path
from typing import Any

if not __package__:  # run as a file
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from rich.console import Console
from rich.table import Table

from benchmarks.endpoint import Endpoint
from benchmarks.load import Answer, LoadResult, attempt, chat_body, run_closed, run_open
from benchmarks.load_plot import svg
from benchmarks.load_summary import (
    SERIES,
    Limits,
    Spread,
    Summary,
    end_to_end_seconds,
    num_tokens,
    summarise,
)
from benchmarks.prompts import story_prompts
from benchmarks.report import TABLE_WIDTH

NUM_WARM_UP_TOKENS = 4
SPREADS = ("ttft", "inter_token", "token", "end_to_end")


def main(argv: list[str] | None = None) -> int:
    """Returns 0 where every request was answered, 1 where some were not, 2 where there is no such server."""
    options = _parse(argv)
    try:
        endpoint = Endpoint.of(options.url, options.api_key)
        model = options.model or endpoint.first_model()
    except (OSError, ValueError) as error:
        print(f"error: {options.url}: {error}", file=sys.stderr)
        return 2
    warm_up = asyncio.run(
        attempt(endpoint, options.timeout, chat_body("Say hello.", NUM_WARM_UP_TOKENS, model), Answer(0.0))
    )
    if warm_up.error:
        print(f"error: {options.url}: {warm_up.error}", file=sys.stderr)
        return 2
    results = {load: _run(endpoint, model, load, options) for load in options.streams or options.rate}
    return _report(model, results, options)


def _parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.load_test",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("url", help="http://localhost:8000, https://host/v1, ...")
    loads = parser.add_mutually_exclusive_group()
    loads.add_argument("--streams", type=int, nargs="+", metavar="N", help="clients of a closed loop (8)")
    loads.add_argument("--rate", type=float, nargs="+", metavar="R", help="requests a second of an open loop")
    parser.add_argument("--requests", type=int, metavar="N", help="per load (64, or twice the streams)")
    parser.add_argument("--prompt-tokens", type=int, default=95, metavar="N", help="about (95)")
    parser.add_argument("--answer-tokens", type=int, default=64, metavar="N", help="at most (64)")
    parser.add_argument("--model", help="name in the requests (the first that the server lists)")
    parser.add_argument("--api-key", default=os.environ.get("OPENAI_API_KEY", ""), help="($OPENAI_API_KEY)")
    parser.add_argument("--timeout", type=float, default=600.0, metavar="S", help="per request (600)")
    parser.add_argument("--seed", type=int, default=0, help="of prompts and arrivals (0)")
    parser.add_argument("--ttft-limit", type=float, metavar="S", help="goodput: time to first token")
    parser.add_argument("--token-limit", type=float, metavar="S", help="goodput: mean time per later token")
    parser.add_argument("--end-to-end-limit", type=float, metavar="S", help="goodput: whole answer")
    parser.add_argument("--json", type=Path, metavar="FILE", help="everything measured")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="percentile curves as SVG")
    options = parser.parse_args(argv)
    options.streams = options.streams or (None if options.rate else [8])
    if min(options.streams or options.rate) <= 0 or (options.requests is not None and options.requests < 1):
        parser.error("--streams, --rate and --requests must be above 0")
    return options


def _run(endpoint: Endpoint, model: str, load: float, options: argparse.Namespace) -> LoadResult:
    """One load, with prompts of its own: no cache has seen them."""
    index = (options.streams or options.rate).index(load)
    num_requests = options.requests or max(64, 2 * max(options.streams or [0]))
    prompts = story_prompts(num_requests, options.prompt_tokens, 1000 * (options.seed + 1) + index)
    bodies = [chat_body(prompt, options.answer_tokens, model) for prompt in prompts]
    send = partial(attempt, endpoint, options.timeout)
    if options.streams:
        return asyncio.run(run_closed(send, bodies, int(load)))
    arrivals = poisson_arrivals(load, num_requests, options.seed + index)
    return asyncio.run(run_open(send, bodies, arrivals))


def poisson_arrivals(rate: float, num_requests: int, seed: int) -> list[float]:
    """Seconds from the start, ascending; the gaps between are exponential with mean ``1 / rate``."""
    draw = random.Random(seed)
    return list(accumulate(draw.expovariate(rate) for _ in range(num_requests)))


def _report(model: str, results: Mapping[float, LoadResult], options: argparse.Namespace) -> int:
    limits = Limits(options.ttft_limit, options.token_limit, options.end_to_end_limit)
    named = {_name(load, options): result for load, result in results.items()}
    summaries = [summarise(name, result, limits) for name, result in named.items()]
    print_summaries(f"{model} at {options.url}", summaries)
    if options.json:
        options.json.write_text(json.dumps(_as_json(model, named, summaries, options), indent=2) + "\n")
    if options.plot:
        panels = {
            name: {load: values(each) for load, each in named.items()} for name, values in SERIES.items()
        }
        options.plot.write_text(svg(f"{model} at {options.url}", panels), encoding="utf-8")
    return 1 if any(summary.num_errors for summary in summaries) else 0


def _name(load: float, options: argparse.Namespace) -> str:
    unit = "stream" if options.streams else "request"
    return f"{load:g} {unit if load == 1 else f'{unit}s'}{'' if options.streams else '/s'}"


def print_summaries(title: str, summaries: list[Summary]) -> None:
    console = Console(width=TABLE_WIDTH)
    table = Table(title=title, title_justify="left")
    for heading in ("load", "quantity", "p50 s", "p90 s", "p99 s"):
        table.add_column(heading, justify="right" if heading.endswith(" s") else "left")
    for summary in summaries:
        for name in SPREADS:
            spread: Spread = getattr(summary, name)
            values = (spread.p50, spread.p90, spread.p99)
            cells = ["" if value is None else f"{value:.3f}" for value in values]
            table.add_row(summary.load, name, *cells, end_section=name == SPREADS[-1])
    console.print(table)
    for summary in summaries:
        print(_line(summary))


def _line(summary: Summary) -> str:
    goodput = summary.goodput_per_second
    parts = [
        f"{summary.num_requests} requests in {summary.wall_seconds:.1f} s",
        f"{summary.requests_per_second:.3f} answers/s",
        f"{summary.output_tokens_per_second:.1f} tokens/s",
        *([] if goodput is None else [f"goodput {goodput:.3f}/s"]),
        *(f"{count} times: {error}" for error, count in summary.errors.items()),
    ]
    return f"{summary.load}: {', '.join(parts)}"


def _as_json(
    model: str, results: Mapping[str, LoadResult], summaries: list[Summary], options: argparse.Namespace
) -> dict[str, Any]:
    """Seconds everywhere; the key is no part of it."""
    asked = {name: value for name, value in vars(options).items() if name not in ("api_key", "json", "plot")}
    requests = {name: [_request_json(each) for each in result.answers] for name, result in results.items()}
    loads = [asdict(summary) | {"requests": requests[summary.load]} for summary in summaries]
    return {"model": model, "options": asked, "loads": loads}


def _request_json(answer: Answer) -> dict[str, Any]:
    return {
        "error": answer.error,
        "ttft": answer.ttft_seconds,
        "end_to_end": end_to_end_seconds(answer),
        "gaps": answer.gaps_seconds,
        "prompt_tokens": answer.num_prompt_tokens,
        "output_tokens": num_tokens(answer),
    }


if __name__ == "__main__":
    sys.exit(main())
