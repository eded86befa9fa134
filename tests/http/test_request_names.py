"""Every line that the log has of a request has the name that its client knows, whichever thread wrote it.

Over HTTP, by real threads around a fake engine.
"""

from __future__ import annotations

import json
import logging
from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
import structlog

from api.observability.logging import configure_logging
from api.server_handler import ServerHandler
from tests.fakes.live_server import live_server
from tests.threads.fakes import create_config, create_engine, create_load

SECRET = "Rumpelstiltskin"  # in each prompt, and so in each answer: the engine says what it was told
BIG = "x" * 40_000  # read by a hand, its body parsed beside the event loop

Line = dict[str, Any]
Logged = Callable[[], list[Line]]


@pytest.fixture
def logged(capsys: pytest.CaptureFixture[str]) -> Iterator[Callable[[bool], Logged]]:
    """Begins to log; what that returns reads the lines so far."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level

    def begin(verbose: bool) -> Logged:
        writer = configure_logging(verbose, "json")

        def read() -> list[Line]:
            writer.flush(5)
            lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
            return [
                line for line in lines if not line["event"].startswith("HTTP Request")
            ]  # the client's own

        return read

    yield begin
    for handler in set(root.handlers) - set(handlers):
        handler.close()
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


@pytest.fixture
def url() -> Iterator[str]:
    config = create_config()
    with live_server(ServerHandler(config, create_load(create_engine())), config) as url:  # type: ignore[arg-type]
        yield url


def ask(url: str, name: str, text: str, **fields: Any) -> httpx.Response:
    body = {"model": "model", "messages": [{"role": "user", "content": text}], **fields}
    headers = {"x-request-id": name}
    return httpx.post(f"{url}/v1/chat/completions", json=body, headers=headers, timeout=10)


def ask_all_kinds(url: str) -> dict[str, int]:
    """Requests that end in all ways; returns the statuses by their names."""
    answers = {
        "finished": ask(url, "finished", f"{SECRET}!"),
        "streamed": ask(url, "streamed", f"{SECRET}!", stream=True),
        "long": ask(url, "long", SECRET + BIG, max_tokens=5),
        "reader-broke": ask(url, "reader-broke", f"%{SECRET}"),
        "long-reader-broke": ask(url, "long-reader-broke", f"%{SECRET}{BIG}"),
        "pipeline-broke": ask(url, "pipeline-broke", f"{SECRET}~"),
        "step-broke": ask(url, "step-broke", f"{SECRET}#"),
        "refused": ask(url, "refused", f"@{SECRET}"),
        "invalid": ask(url, "invalid", SECRET, temperature=SECRET),
        "unknown-field": ask(url, "unknown-field", f"{SECRET}!", tempratur=SECRET),
        "no-json": httpx.post(
            f"{url}/v1/chat/completions", content=f'"{SECRET}', headers={"x-request-id": "no-json"}
        ),
    }
    assert {name: answer.headers["x-request-id"] for name, answer in answers.items()} == {
        name: name for name in answers
    }
    return {name: answer.status_code for name, answer in answers.items()}


def lines_by_name(lines: list[Line]) -> dict[str, list[str]]:
    """The events of each request, in their order."""
    found = defaultdict(list)
    for line in lines:
        for name in line.get("x_request_ids", [line.get("x_request_id", "")]):
            found[name].append(line["event"])
    return found


def test_each_request_is_found_by_its_name(url: str, logged: Callable[[bool], Logged]) -> None:
    read = logged(False)
    statuses = ask_all_kinds(url)
    failed = {"reader-broke", "long-reader-broke", "pipeline-broke", "step-broke"}
    refused = {"refused", "invalid", "no-json"}
    assert {name for name, status in statuses.items() if status == 500} == failed
    assert {name for name, status in statuses.items() if status == 400} == refused
    found = lines_by_name(read())
    assert found.pop("", []) == []
    assert found == {
        "finished": ["request finished"],
        "streamed": ["request finished"],
        "long": ["request finished"],
        "reader-broke": ["reading a prompt failed", "request failed"],
        "long-reader-broke": ["reading a prompt failed", "request failed"],
        "pipeline-broke": ["converting the output failed", "request failed"],
        "step-broke": ["step failed", "request failed"],
        "refused": ["request refused"],
        "invalid": ["request refused"],
        "unknown-field": ["unknown request field ignored", "request finished"],
        "no-json": ["request refused"],
    }


def test_all_lines_have_names_also_the_verbose_ones(url: str, logged: Callable[[bool], Logged]) -> None:
    read = logged(True)
    names = set(ask_all_kinds(url))
    lines = read()
    assert {"request", "response", "stream event"} <= {line["event"] for line in lines}
    of_requests = [line for line in lines if line["level"] != "debug" or "request" in line["event"]]
    assert all(names & {line.get("x_request_id"), *line.get("x_request_ids", [])} for line in of_requests)
    assert all(line["x_request_id"] in names for line in lines if "request_id" in line)


def test_prompts_and_answers_are_told_to_the_verbose_log_only(
    url: str, logged: Callable[[bool], Logged]
) -> None:
    read = logged(False)
    ask_all_kinds(url)
    assert [line for line in read() if SECRET in json.dumps(line)] == []
    read = logged(True)
    ask(url, "a", f"{SECRET}!")
    assert any(SECRET in json.dumps(line) for line in read())


def test_a_question_beside_the_chats_has_its_name_too(url: str, logged: Callable[[bool], Logged]) -> None:
    read = logged(False)
    body = {"model": "model", "tokens": [2_000_000]}
    answer = httpx.post(f"{url}/detokenize", json=body, headers={"x-request-id": "aside"})
    assert (answer.status_code, answer.headers["x-request-id"]) == (400, "aside")
    assert lines_by_name(read()) == {"aside": ["request refused"]}
