"""End-to-end check of a live server: ``python test_api.py [--stress] [--url http://host:8000]``.

Prints one line per check. Exit code 0: all passed; 1: a check failed; 2: no server there.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time

import httpx
from rich.console import Console

from tests.live.checks import CHECKS, Check
from tests.live.client import Api, CheckFailedError, expect
from tests.live.stress import NUM_CLIENTS, check_stress

CHECK_TIMEOUT_SECONDS = 120.0
STRESS_TIMEOUT_SECONDS = 900.0


async def run_check(console: Console, name: str, check: Check, api: Api, limit_seconds: float) -> bool:
    started = time.perf_counter()
    try:
        words, mark = await asyncio.wait_for(check(api), limit_seconds), "[green]✔[/]"
    except TimeoutError:
        words, mark = f"no end after {limit_seconds:.0f} s", "[red]✘[/]"
    except (CheckFailedError, httpx.HTTPError, LookupError, ValueError, TypeError, ExceptionGroup) as error:
        words, mark = describe(error), "[red]✘[/]"
    seconds = time.perf_counter() - started
    console.print(f"{mark} {name:<22} {seconds:6.1f} s  ", end="", highlight=False)
    console.print(words, markup=False, highlight=False)
    return "green" in mark


def describe(error: Exception) -> str:
    """One line; of a group, its first member's."""
    if isinstance(error, ExceptionGroup):
        return describe(error.exceptions[0])
    return str(error) if isinstance(error, CheckFailedError) else f"{type(error).__name__}: {error}"


async def first_model(http: httpx.AsyncClient) -> str:
    """Waits for nothing: the server must be there and serve. Raises httpx.HTTPError, CheckFailedError."""
    health = await http.get("/health")
    expect(
        health.status_code == 200, f"it answers, but /health says {health.status_code}: {health.text[:200]}"
    )
    name: str = (await http.get("/v1/models")).json()["data"][0]["id"]
    return name


async def run(url: str, with_stress: bool) -> int:
    console = Console()
    limits = httpx.Limits(max_connections=2 * NUM_CLIENTS)
    async with httpx.AsyncClient(base_url=url, timeout=CHECK_TIMEOUT_SECONDS, limits=limits) as http:
        try:
            api = Api(http, await first_model(http))
        except (httpx.HTTPError, CheckFailedError, LookupError, ValueError) as error:
            print(f"No server to test at {url}: {describe(error)}", file=sys.stderr)
            return 2
        console.print(f"Testing {url}", markup=False, highlight=False)
        passed = [await run_check(console, *check, api, CHECK_TIMEOUT_SECONDS) for check in CHECKS]
        if with_stress:
            passed.append(await run_check(console, "stress", check_stress, api, STRESS_TIMEOUT_SECONDS))
    console.print(f"{sum(passed)} of {len(passed)} checks passed", highlight=False)
    return 0 if all(passed) else 1


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--url", default="http://localhost:8000", help="default: %(default)s")
    parser.add_argument("--stress", action="store_true", help="also hundreds of requests with disconnects")
    options = parser.parse_args()
    return asyncio.run(run(options.url.rstrip("/"), options.stress))


if __name__ == "__main__":
    sys.exit(main())
