"""The load generator against a server with a fake engine, and its loops without any."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
from typing import Any

import pytest

from api.errors import QueueFullError
from benchmarks.load import Answer, run_closed, run_open
from benchmarks.load_test import main, poisson_arrivals
from tests.fakes.live_server import live_server
from tests.fakes.server_handler import FakeServerHandler, failing, hello

Body = dict[str, Any]


def test_a_closed_loop_against_a_server(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report, plot = tmp_path / "load.json", tmp_path / "load.svg"
    handler = FakeServerHandler(hello)
    with live_server(handler) as url:
        argv = [url, "--streams", "1", "3", "--requests", "6", "--json", str(report), "--plot", str(plot)]
        assert main([*argv, "--api-key", "secret", "--ttft-limit", "60"]) == 0
    assert len(handler.requests) == 1 + 2 * 6
    out = capsys.readouterr().out
    assert "3 streams: 6 requests in" in out and "goodput" in out
    assert "secret" not in report.read_text()
    loads = json.loads(report.read_text())["loads"]
    assert [(load["load"], len(load["requests"])) for load in loads] == [("1 stream", 6), ("3 streams", 6)]
    assert all(load["goodput_per_second"] == load["requests_per_second"] > 0 for load in loads)
    assert {request["output_tokens"] for load in loads for request in load["requests"]} == {3}
    assert plot.read_text().count("<polyline") == 6


def test_an_open_loop_against_a_server(capsys: pytest.CaptureFixture[str]) -> None:
    with live_server(FakeServerHandler(hello)) as url:
        assert main([url, "--rate", "200", "--requests", "5", "--model", "model"]) == 0
    assert "200 requests/s: 5 requests in" in capsys.readouterr().out


def test_a_server_that_refuses_the_first_request_is_not_loaded(capsys: pytest.CaptureFixture[str]) -> None:
    handler = FakeServerHandler(failing(QueueFullError("full")))
    with live_server(handler) as url:
        assert main([url]) == 2
    assert len(handler.requests) == 1
    assert "full" in capsys.readouterr().err


def test_errors_in_a_run_are_counted_and_told(capsys: pytest.CaptureFixture[str]) -> None:
    handler = FakeServerHandler(hello)

    def refuse_later(request: Any) -> Any:
        refuse = failing(QueueFullError("full"))
        return hello(request) if len(handler.requests) < 3 else refuse(request)

    handler.script = refuse_later
    with live_server(handler) as url:
        assert main([url, "--streams", "1", "--requests", "4"]) == 1
    assert "3 times: " in capsys.readouterr().out


@pytest.mark.parametrize("url", ["http://127.0.0.1:9", "nothing"])
def test_no_server_is_one_line(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([url]) == 2
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize("words", ["--streams 0", "--rate -1", "--requests 0", "--streams 1 --rate 1"])
def test_wrong_loads_are_refused(words: str) -> None:
    with pytest.raises(SystemExit):
        main(["http://127.0.0.1:9", *words.split()])


def test_poisson_arrivals_have_the_rate_and_exponential_gaps() -> None:
    arrivals = poisson_arrivals(4.0, 20_000, seed=1)
    gaps = [after - before for before, after in zip([0.0, *arrivals], arrivals, strict=False)]
    mean = sum(gaps) / len(gaps)
    assert mean == pytest.approx(0.25, rel=0.03)
    assert sum((gap - mean) ** 2 for gap in gaps) / len(gaps) == pytest.approx(0.25**2, rel=0.06)
    assert arrivals == poisson_arrivals(4.0, 20_000, seed=1) != poisson_arrivals(4.0, 20_000, seed=2)


class Recorder:
    """Takes ``seconds`` for each request, and notes how many there are at a time."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.num_running = self.most_running = 0

    async def send(self, body: Body, answer: Answer) -> Answer:
        self.num_running += 1
        self.most_running = max(self.most_running, self.num_running)
        await asyncio.sleep(self.seconds)
        self.num_running -= 1
        answer.ended = time.perf_counter()
        return answer


def test_a_closed_loop_has_so_many_at_a_time() -> None:
    recorder = Recorder(0.02)
    result = asyncio.run(run_closed(recorder.send, [{}] * 9, 3))
    assert (len(result.answers), recorder.most_running) == (9, 3)


def test_an_open_loop_waits_for_nobody() -> None:
    recorder = Recorder(0.2)
    result = asyncio.run(run_open(recorder.send, [{}] * 4, [0.0, 0.01, 0.02, 0.03]))
    assert recorder.most_running == 4
    starts = [answer.started - result.answers[0].started for answer in result.answers]
    assert starts == pytest.approx([0.0, 0.01, 0.02, 0.03])
