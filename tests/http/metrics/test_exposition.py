from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from api.http.metrics.exposition import exposition
from api.http.metrics.families import PREFIX
from api.observability.metrics import Metrics
from api.server_stats import ServerStats
from api.stats import DeviceBytes, PrefixCacheStats, PrefixDiskStats, SchedulerStats, StepTimes
from tests.http.metrics.scraping import Scrape

PAGE = Path(__file__).resolve().parents[3] / "docs" / "metrics.md"
SCHEDULER = SchedulerStats(
    num_running=3,
    kv_used_bytes=250,
    kv_reserved_bytes=400,
    kv_budget_bytes=1000,
    num_preemptions=5,
    num_proposed_tokens=50,
    num_accepted_tokens=25,
    num_drafted_tokens=40,
    num_accepted_drafts=16,
    prefix_cache=PrefixCacheStats(300, 100, 4, 7, 64, 128),
)


def busy_metrics() -> Metrics:
    metrics = Metrics(lambda: 100.0)
    for outcome in ("stop", "length", "tool_calls", "tool_calls", "cancelled"):
        metrics.request_received()
        metrics.request_ended(outcome)
    for count, code in ((metrics.request_failed, "internal_error"), (metrics.request_refused, "not_found")):
        metrics.request_received()
        count(code)
    metrics.prompt_accepted(40)
    metrics.admitted(0.05)
    metrics.first_token(0.2)
    metrics.inter_token(0.02)
    metrics.inter_token(0.03)
    metrics.answered(2.0)
    times = StepTimes(0.1, 0.2, 0.3, 0.4)
    metrics.step_done(1.0, num_prompt_tokens=30, num_output_tokens=2, num_running=3, num_rows=34, times=times)
    return metrics


def create_stats(metrics: Metrics) -> ServerStats:
    return ServerStats(
        "ok",
        {},
        metrics.snapshot(),
        SCHEDULER,
        DeviceBytes(100, 275, 30, 300),
        num_live=2,
        num_sequences=8,
        max_running=32,
        prefix_disk=PrefixDiskStats(9, 11, 12, 13, 14, 15, 16),
        thread_cpu_seconds={"main": 1.5, "batch": 2.5},
        histograms=metrics.histograms(),
    )


def scrape(stats: ServerStats, labels: dict[str, str] | None = None) -> Scrape:
    return Scrape.of(exposition(stats, labels or {"model_name": "tiny"}).decode())


def test_counts_are_those_of_stats() -> None:
    stats = create_stats(busy_metrics())
    told, found = stats.as_dict(), scrape(stats)
    requests, tokens = told["requests"], told["tokens"]
    assert found("requests_received_total") == requests["received"] == 7
    assert found.by("request_success_total", "finished_reason") == {
        "stop": requests["stop"],
        "length": requests["length"],
        "tool_calls": requests["tool_calls"],
        "abort": requests["cancelled"],
    }
    assert found("request_failure_total", outcome="failed", code="internal_error") == requests["failed"] == 1
    assert found("request_failure_total", outcome="refused", code="not_found") == requests["refused"] == 1
    assert found("num_requests_running") == told["batch"]["running"] == 3
    assert found("num_requests_waiting") == told["batch"]["queued"] == 5
    assert found("num_preemptions_total") == told["batch"]["preemptions"] == 5
    assert found("prompt_tokens_total") == tokens["accepted_prompt_total"] == 40
    assert found("prefill_tokens_total") == tokens["prompt_total"] == 30
    assert found("generation_tokens_total") == tokens["output_total"] == 2
    parts = told["step_parts_seconds"]
    assert found.by("step_part_seconds_total", "part") == parts
    assert sum(parts.values()) == pytest.approx(1.0)
    assert found.by("thread_cpu_seconds_total", "thread") == told["thread_cpu_seconds"]
    assert found("uptime_seconds") == told["uptime_seconds"]


@pytest.mark.parametrize(
    ("name", "section", "total"),
    [
        ("request_queue_time_seconds", "queue_seconds", 0.05),
        ("time_to_first_token_seconds", "time_to_first_token_seconds", 0.2),
        ("inter_token_latency_seconds", "inter_token_seconds", 0.05),
        ("e2e_request_latency_seconds", "end_to_end_seconds", 2.0),
        ("step_duration_seconds", "step_seconds", 1.0),
        ("step_rows", "step_rows", 34),
        ("iteration_tokens_total", "step_tokens", 32),
    ],
)
def test_histograms_are_those_of_stats(name: str, section: str, total: float) -> None:
    stats = create_stats(busy_metrics())
    found = scrape(stats)
    assert found(f"{name}_count") == stats.as_dict()[section]["count"] > 0
    assert found(f"{name}_sum") == pytest.approx(total)
    buckets = list(found.by(f"{name}_bucket", "le").items())
    assert buckets[-1] == ("+Inf", found(f"{name}_count"))
    values = [count for _, count in buckets]
    assert values == sorted(values)


def test_a_bucket_has_what_does_not_exceed_it() -> None:
    metrics = Metrics()
    for seconds in (0.01, 0.0100001, 0.02, 50_000.0):
        metrics.inter_token(seconds)
    found = scrape(create_stats(metrics))
    name = "inter_token_latency_seconds_bucket"
    assert [found(name, le=le) for le in ("0.00681", "0.01", "0.0147", "0.0215", "10.0", "+Inf")] == [
        0,
        1,
        2,
        3,
        3,
        4,
    ]


def test_memory_caches_and_speculation() -> None:
    found = scrape(create_stats(Metrics()))
    expected = {
        "kv_cache_usage_perc": 0.25,
        "kv_cache_used_bytes": 250,
        "kv_cache_reserved_bytes": 400,
        "kv_cache_budget_bytes": 1000,
        "prefix_cache_queries_total": 300,
        "prefix_cache_hits_total": 100,
        "prefix_cache_evicted_blocks_total": 7,
        "prefix_cache_blocks": 4,
        "prefix_cache_used_bytes": 64,
        "prefix_cache_limit_bytes": 128,
        "prefix_disk_hits_total": 13,
        "prefix_disk_written_blocks_total": 14,
        "prefix_disk_skipped_blocks_total": 15,
        "prefix_disk_damaged_files_total": 16,
        "prefix_disk_blocks": 9,
        "prefix_disk_used_bytes": 11,
        "prefix_disk_limit_bytes": 12,
        "device_memory_loaded_bytes": 100,
        "device_memory_active_bytes": 275,
        "device_memory_cache_bytes": 30,
        "device_memory_peak_bytes": 300,
    }
    assert {name: found(name) for name in expected} == expected
    assert found.by("spec_decode_num_draft_tokens_total", "source") == {"text": 10, "draft_model": 40}
    assert found.by("spec_decode_num_accepted_tokens_total", "source") == {"text": 9, "draft_model": 16}


def test_without_a_budget_nothing_is_divided() -> None:
    assert scrape(replace(create_stats(Metrics()), scheduler=SchedulerStats()))("kv_cache_usage_perc") == 0


def test_every_sample_says_whose_it_is() -> None:
    labels = {"model_name": 'a "model"\n\\', "worker": "17"}
    found = scrape(create_stats(busy_metrics()), labels)
    samples = [each for family in found.families.values() for each in family.samples]
    assert len(samples) > 100
    assert all(labels.items() <= each.labels.items() for each in samples)
    assert all(family.documentation for family in found.families.values())


@pytest.mark.skipif(shutil.which("promtool") is None, reason="needs promtool: apt-get install prometheus")
def test_prometheus_own_check_finds_the_text_good() -> None:
    text = exposition(create_stats(busy_metrics()), {"model_name": "tiny"})
    done = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, timeout=30)
    # The one name that it minds is the one that vLLM's boards ask for.
    complaints = [line for line in done.stderr.decode().splitlines() if "iteration_tokens_total" not in line]
    assert complaints == []


def test_every_name_is_described_and_nothing_else() -> None:
    rows = re.findall(r"^\| (`.+?) \| (counter|gauge|histogram) \|", PAGE.read_text("utf-8"), re.MULTILINE)
    described = {(name, kind) for names, kind in rows for name in re.findall(r"`(\w+)`", names)}
    families = scrape(create_stats(busy_metrics())).families.values()
    ends = {"counter": "_total", "gauge": "", "histogram": ""}
    told = {(each.name.removeprefix(PREFIX) + ends[each.type], each.type) for each in families}
    assert described == told
