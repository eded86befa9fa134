"""With several workers each scrape meets one of them, and tells which."""

from __future__ import annotations

import httpx

from tests.fakes.live_server import wait_until
from tests.http.metrics.scraping import Scrape
from tests.serving.programs import Start, worker_name


def workers_of(text: str) -> set[str]:
    samples = [each for family in Scrape.of(text).families.values() for each in family.samples]
    return {each.labels["worker"] for each in samples}


def test_no_answer_mixes_two_workers_and_all_are_met(start: Start) -> None:
    _, url = start("hello", "--workers", "2")
    worker_name(url)
    met: set[str] = set()

    def has_met_both() -> bool:
        found = workers_of(httpx.get(f"{url}/metrics", timeout=20).text)
        assert len(found) == 1
        met.update(found)
        return len(met) == 2

    wait_until(has_met_both, 30)
    names = {f"pid-{worker}" for worker in met}
    assert worker_name(url) in names
