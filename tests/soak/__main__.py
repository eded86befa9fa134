"""``python -m tests.soak [--requests 3000]``: a server in very little memory, and all that clients do to it.

A tiny random model, so that thousands of requests take minutes; each answer is compared with the one that an
idle server gave. ``--url`` takes a running server instead, which then serves nobody else.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from pathlib import Path

import httpx

from tests.fakes.program import Program
from tests.live.client import Api, CheckFailedError, expect
from tests.soak.run import Report, soak
from tests.soak.tiny_folder import make_tiny_folder

KV_MEMORY = "2MB"  # 2,048 tokens; forty clients want many times that at each moment


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--requests", type=int, default=3000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kv-memory", default=KV_MEMORY)
    parser.add_argument("--architecture", default="llama", help="of the tiny model: llama, gemma3, lfm2, ...")
    parser.add_argument("--server-args", default="", help="further options of the server, in one string")
    parser.add_argument(
        "--max-gap", type=float, default=2.0, help="longest wait of a normal stream, in seconds (%(default)s)"
    )
    parser.add_argument("--url", help="a running server")
    options = parser.parse_args(argv)
    try:
        report = _run(options)
        print_report(report)
        gap_seconds = report.longest_gap_seconds
        expect(gap_seconds <= options.max_gap, f"a normal stream stood still for {gap_seconds:.1f} s")
    except* CheckFailedError as failures:
        print("FAILED:", *(str(error) for error in failures.exceptions), sep="\n  ")
        raise SystemExit(1) from None
    return 0


def _run(options: argparse.Namespace) -> Report:
    if options.url:
        return soak_server(options.url, options.requests, options.seed, None)
    with tempfile.TemporaryDirectory(prefix="soak-") as folder:
        extra = ("--kv-memory", options.kv_memory, *options.server_args.split())
        return soak_tiny(Path(folder), options.requests, options.seed, options.architecture, *extra)


def soak_tiny(folder: Path, num_requests: int, seed: int, architecture: str, *server_args: str) -> Report:
    """Starts a server of its own and stops it as a user does."""
    program = Program.start(str(make_tiny_folder(folder / "tiny", architecture)), *server_args)
    try:
        report = soak_server(program.url, num_requests, seed, program.process.pid)
        program.process.terminate()
        code = program.wait()
        if code:
            raise CheckFailedError(f"the server ended with {code}")
        return report
    finally:
        program.process.kill()


def soak_server(url: str, num_requests: int, seed: int, server_pid: int | None) -> Report:
    return asyncio.run(_soak(url, num_requests, seed, server_pid))


async def _soak(url: str, num_requests: int, seed: int, server_pid: int | None) -> Report:
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=50)
    async with httpx.AsyncClient(base_url=url, timeout=600, limits=limits) as http:
        return await soak(Api(http, "model"), num_requests, seed, server_pid)


def print_report(report: Report) -> None:
    outcomes = ", ".join(f"{count} {outcome}" for outcome, count in sorted(report.outcomes.items()))
    cache, device = report.stats["prefix_cache"], report.stats["device_memory"]
    num_preemptions = report.stats["batch"]["preemptions"]
    print(f"{outcomes}; {num_preemptions} preemptions, {cache['evicted_blocks']} evictions")
    print(f"longest wait of a normal stream: {report.longest_gap_seconds:.2f} s")
    print(f"prefix cache: {cache['hit_rate']:.0%} of the prompt tokens")
    print(f"bytes that nobody accounts for: {device['unaccounted_bytes']}")
    if report.resident_bytes:
        print("resident MB:", *(round(size / 1e6) for size in report.resident_bytes))


if __name__ == "__main__":
    sys.exit(main())
