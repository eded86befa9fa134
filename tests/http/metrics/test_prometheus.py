"""A real Prometheus reads /metrics of a busy server, and answers what an operator asks."""

from __future__ import annotations

import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from structlog.testing import capture_logs

from api.server_handler import ServerHandler
from tests.fakes.live_server import live_server, wait_until
from tests.threads.fakes import create_config, create_engine, create_load

pytestmark = pytest.mark.skipif(
    shutil.which("prometheus") is None, reason="needs a Prometheus: apt-get install prometheus"
)

CONFIG = """
global: {{scrape_interval: 200ms, scrape_timeout: 200ms}}
scrape_configs:
  - job_name: chat
    static_configs: [{{targets: ["{target}"]}}]
"""
CHAT = {"model": "model", "messages": [{"role": "user", "content": "hello" * 5 + "!"}]}


@pytest.fixture(scope="module", autouse=True)
def quiet() -> Iterator[None]:
    """The load leaves many lines."""
    with capture_logs():
        yield


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    config = create_config()
    handler = ServerHandler(config, create_load(create_engine()))  # type: ignore[arg-type]
    with live_server(handler, config) as url:
        yield url


@pytest.fixture(scope="module")
def prometheus(server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("prometheus")
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    config = folder / "prometheus.yml"
    config.write_text(CONFIG.format(target=server.removeprefix("http://")), encoding="utf-8")
    process = start(folder, config, address)
    try:
        wait_until(lambda: is_ready(address), 30)
        yield f"http://{address}"
    finally:
        process.kill()
        process.wait(10)


def start(folder: Path, config: Path, address: str) -> subprocess.Popen[bytes]:
    flags = [f"--config.file={config}", f"--storage.tsdb.path={folder}", f"--web.listen-address={address}"]
    quiet = subprocess.DEVNULL
    return subprocess.Popen(["prometheus", *flags, "--log.level=error"], stdout=quiet, stderr=quiet)


def is_ready(address: str) -> bool:
    try:
        return httpx.get(f"http://{address}/-/ready").status_code == 200
    except httpx.TransportError:
        return False


def ask(prometheus: str, query: str) -> list[dict[str, Any]]:
    answer = httpx.get(f"{prometheus}/api/v1/query", params={"query": query}).json()
    assert answer["status"] == "success", answer
    found: list[dict[str, Any]] = answer["data"]["result"]
    return found


def value(prometheus: str, query: str) -> float:
    found = ask(prometheus, query)
    return float(found[0]["value"][1]) if found else 0.0


@pytest.fixture(scope="module")
def load(server: str, prometheus: str) -> Iterator[None]:
    """Requests, good and bad, as long as questions are asked."""
    is_over = threading.Event()

    def work() -> None:
        with httpx.Client(base_url=server) as client:
            while not is_over.is_set():
                client.post("/v1/chat/completions", json=CHAT)
                client.post("/v1/chat/completions", json=CHAT | {"temperature": -1})
                is_over.wait(0.05)

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    wait_until(lambda: value(prometheus, "count_over_time(mlx_chat_uptime_seconds[1m])") >= 5, 30)
    yield
    is_over.set()
    for thread in threads:
        thread.join()


@pytest.mark.parametrize(
    "query",
    [
        "up",
        'sum(rate(mlx_chat_request_success_total{finished_reason="stop"}[10s]))',
        'sum by (code) (rate(mlx_chat_request_failure_total{outcome="refused"}[10s]))',
        "rate(mlx_chat_generation_tokens_total[10s])",
        "rate(mlx_chat_prompt_tokens_total[10s])",
        "histogram_quantile(0.99, rate(mlx_chat_time_to_first_token_seconds_bucket[10s]))",
        "histogram_quantile(0.99, rate(mlx_chat_inter_token_latency_seconds_bucket[10s]))",
        "histogram_quantile(0.5, rate(mlx_chat_e2e_request_latency_seconds_bucket[10s]))",
        "histogram_quantile(0.5, rate(mlx_chat_request_queue_time_seconds_bucket[10s]))",
        "rate(mlx_chat_step_rows_sum[10s]) / rate(mlx_chat_step_rows_count[10s])",
        "rate(mlx_chat_iteration_tokens_total_sum[10s])",
        'rate(mlx_chat_step_part_seconds_total{part="plan"}[10s])',
        "mlx_chat_prefix_cache_hits_total / mlx_chat_prefix_cache_queries_total",
    ],
)
def test_a_question_has_an_answer(prometheus: str, load: None, query: str) -> None:
    assert 0 < value(prometheus, query) < float("inf")


def test_what_it_stored_is_what_the_server_counts(prometheus: str, server: str, load: None) -> None:
    """The load goes on, so the count that was stored lies between two that the server tells."""
    before = httpx.get(f"{server}/stats").json()["requests"]["received"]
    wait_until(lambda: value(prometheus, "mlx_chat_requests_received_total") >= before, 10)
    stored = value(prometheus, "mlx_chat_requests_received_total")
    assert before <= stored <= httpx.get(f"{server}/stats").json()["requests"]["received"]


def test_series_are_of_one_model(prometheus: str, load: None) -> None:
    found = ask(prometheus, "count by (model_name) ({__name__=~'mlx_chat_.+'})")
    assert [each["metric"] for each in found] == [{"model_name": "folder/tiny"}]
