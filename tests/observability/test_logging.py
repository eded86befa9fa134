from __future__ import annotations

import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from api.config import LogFormat
from api.observability.logging import configure_logging


def lines(capsys: pytest.CaptureFixture[str]) -> list[str]:
    """What was logged so far; another thread writes it."""
    for handler in logging.getLogger().handlers:
        handler.flush()
    return capsys.readouterr().err.splitlines()


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    for handler in set(root.handlers) - set(handlers):
        handler.close()
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def test_json_lines_from_both_kinds_of_loggers(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(verbose=False, log_format="json")
    structlog.get_logger("ours").info("request finished", request_id="a", ttft_seconds=0.5)
    logging.getLogger("uvicorn.error").warning("listening on %s", 8000)
    ours, theirs = [json.loads(line) for line in lines(capsys)]
    assert (ours["event"], ours["request_id"], ours["ttft_seconds"]) == ("request finished", "a", 0.5)
    assert (theirs["event"], theirs["level"]) == ("listening on 8000", "warning")
    assert "timestamp" in ours
    assert "timestamp" in theirs


def test_text_has_no_colours_off_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(verbose=False, log_format="text")
    structlog.get_logger("ours").info("model loaded", gib=3)
    (line,) = lines(capsys)
    assert "model loaded" in line
    assert "gib=3" in line
    assert "\x1b" not in line


@pytest.mark.parametrize(("verbose", "expected"), [(False, ["b"]), (True, ["a", "b"])])
def test_debug_only_when_verbose(
    verbose: bool, expected: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    configure_logging(verbose, "json")
    structlog.get_logger("ours").debug("a")
    structlog.get_logger("ours").info("b")
    logging.getLogger("asyncio").debug("noise")
    logging.getLogger("httpcore.connection").debug("noise")
    assert [json.loads(line)["event"] for line in lines(capsys)] == expected


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_tracebacks_are_shown_without_locals(
    log_format: LogFormat, capsys: pytest.CaptureFixture[str]
) -> None:
    configure_logging(False, log_format)
    secret = "a whole " + "prompt"
    try:
        raise ValueError("broken")
    except ValueError as error:
        structlog.get_logger("ours").error("step failed", exc_info=error)
    output = "\n".join(lines(capsys))
    assert "ValueError: broken" in output
    assert "Traceback" in output
    assert secret not in output


def test_configuring_twice_does_not_double_the_lines(capsys: pytest.CaptureFixture[str]) -> None:
    library = logging.getLogger("huggingface_hub")
    library.addHandler(logging.StreamHandler())
    configure_logging(False, "text")
    configure_logging(False, "json")
    library.warning("once")
    assert len(lines(capsys)) == 1


def test_uvicorns_coloured_copy_of_a_message_is_left_out(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    configure_logging(verbose=False, log_format="json")
    monkeypatch.setattr(logging.getLogger("uvicorn.error"), "level", logging.INFO)  # a server sets its own
    logging.getLogger("uvicorn.error").manager._clear_cache()  # type: ignore[attr-defined]
    logging.getLogger("uvicorn.error").info("Started", extra={"color_message": "\x1b[36mStarted\x1b[0m"})
    (line,) = lines(capsys)
    assert "color_message" not in json.loads(line)


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_a_client_cannot_decide_how_long_a_line_is(
    log_format: LogFormat, capsys: pytest.CaptureFixture[str]
) -> None:
    configure_logging(True, log_format)
    log = structlog.get_logger("ours")
    log.warning("request refused", error="x" * 2_000_000)
    log.debug("request", body={"messages": [{"content": "y"}] * 200_000})
    logging.getLogger("uvicorn.error").warning("no such path: %s", "z" * 2_000_000)
    sizes = [len(line) for line in lines(capsys)]
    assert len(sizes) == 3
    assert max(sizes) < 25_000


def test_a_short_body_stays_an_object(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(True, "json")
    structlog.get_logger("ours").debug("request", body={"n": [1, 2]})
    assert [json.loads(line)["body"] for line in lines(capsys)] == [{"n": [1, 2]}]


def test_whatever_is_in_it_a_json_line_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(False, "json")
    log = structlog.get_logger("ours")
    values = {"text": "a\nb\r\u2028\x1b[0m", "thing": object(), "raw": b"\xff\n"}
    log.info("first\nsecond", **values)
    try:
        raise ValueError("line\nline")
    except ValueError:
        log.exception("broken")
        logging.getLogger("uvicorn.error").exception("theirs\n%s", "x\ny")
    found = [json.loads(line) for line in lines(capsys)]
    assert [line["event"] for line in found] == ["first\nsecond", "broken", "theirs\nx\ny"]
    assert found[0]["text"] == values["text"]
    assert all("ValueError: line\nline" in line["exception"] for line in found[1:])
