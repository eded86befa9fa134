"""/metrics and /stats after the same mix of requests, over HTTP, by real threads around a fake engine."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from api.server_handler import ServerHandler
from tests.fakes.live_server import live_server, wait_until
from tests.http.metrics.scraping import Scrape
from tests.threads.fakes import FakeEngine, create_config, create_engine, create_load


@pytest.fixture
def engine() -> FakeEngine:
    return create_engine()


@pytest.fixture
def url(engine: FakeEngine) -> Iterator[str]:
    config = create_config()
    with live_server(ServerHandler(config, create_load(engine)), config) as url:  # type: ignore[arg-type]
        yield url


def ask(url: str, text: str, **fields: Any) -> httpx.Response:
    body = {"model": "model", "messages": [{"role": "user", "content": text}], **fields}
    return httpx.post(f"{url}/v1/chat/completions", json=body, timeout=10)


def cancel_one(url: str, engine: FakeEngine) -> None:
    """A client that leaves while its step hangs."""
    engine.generator.gate.clear()
    with pytest.raises(httpx.ReadTimeout):
        body = {"model": "model", "messages": [{"role": "user", "content": "long" * 30}]}
        httpx.post(f"{url}/v1/chat/completions", json=body, timeout=0.3)
    wait_until(lambda: stats(url)["requests"]["cancelled"] == 1)
    engine.generator.gate.set()


def stats(url: str) -> dict[str, Any]:
    told: dict[str, Any] = httpx.get(f"{url}/stats").json()
    return told


def test_counts_agree_after_all_kinds_of_ends(url: str, engine: FakeEngine) -> None:
    statuses = [
        ask(url, "hello!").status_code,
        ask(url, "hi!", stream=True).status_code,
        ask(url, "hello!", max_tokens=2).status_code,
        ask(url, "~").status_code,  # the pipeline breaks
        ask(url, "%").status_code,  # the reader breaks
        ask(url, "@").status_code,  # refused by the reader
        ask(url, "x", temperature=-1).status_code,  # refused at the door
    ]
    assert statuses == [200, 200, 200, 500, 500, 400, 400]
    cancel_one(url, engine)
    wait_until(lambda: stats(url)["requests"]["live"] == 0)
    told, found = stats(url), Scrape.of(httpx.get(f"{url}/metrics").text)
    requests, tokens = told["requests"], told["tokens"]

    assert requests["received"] == found("requests_received_total") == 8
    by_reason = found.by("request_success_total", "finished_reason")
    assert by_reason == {"stop": 2, "length": 1, "abort": 1}
    assert [requests[each] for each in ("stop", "length", "cancelled")] == [2, 1, 1]
    assert found("request_failure_total", outcome="failed") == requests["failed"] == 2
    assert found("request_failure_total", outcome="refused") == requests["refused"] == 2
    assert found("request_success_total") + found("request_failure_total") == requests["received"]

    assert found("e2e_request_latency_seconds_count") == told["end_to_end_seconds"]["count"] == 3
    num_first = told["time_to_first_token_seconds"]["count"]
    assert found("time_to_first_token_seconds_count") == found("request_queue_time_seconds_count")
    assert found("time_to_first_token_seconds_count") == num_first
    num_gaps = told["inter_token_seconds"]["count"]
    assert found("inter_token_latency_seconds_count") == num_gaps
    assert found("generation_tokens_total") == tokens["output_total"]
    assert tokens["output_total"] >= num_first + num_gaps > 0  # some came too late for who had left
    assert found("prompt_tokens_total") == tokens["accepted_prompt_total"] == 5 * 3
    assert found("prefill_tokens_total") == tokens["prompt_total"]
    assert found("step_rows_count") == told["step_rows"]["count"] > 0
    parts = found("step_part_seconds_total")
    assert parts == pytest.approx(found("step_duration_seconds_sum"), abs=1e-4)
    assert found("num_requests_running") == found("num_requests_waiting") == 0
