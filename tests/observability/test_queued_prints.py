from __future__ import annotations

import os
import sys

import pytest

from api.observability.line_writer import LineWriter
from api.observability.queued_prints import queued_prints


def test_prints_go_through_the_writer_and_only_meanwhile(capsys: pytest.CaptureFixture[str]) -> None:
    before = sys.stdout, sys.stderr
    with queued_prints(LineWriter(sys.stderr, str)):
        print("to stdout")
        print("50 %", end="\r", file=sys.stderr, flush=True)
        sys.stderr.writelines(["a", "b"])
    assert (sys.stdout, sys.stderr) == before
    assert capsys.readouterr() == ("", "to stdout\n50 %\rab")


def test_a_print_does_not_wait_for_a_reader(monkeypatch: pytest.MonkeyPatch) -> None:
    reader, writer = os.pipe()
    with open(writer, "w") as stream:
        monkeypatch.setattr(sys, "stderr", stream)
        line_writer = LineWriter(stream, str)
        monkeypatch.setattr(line_writer, "flush", lambda timeout_seconds: False)
        with queued_prints(line_writer):
            for _ in range(200):
                print("x" * 1000, file=sys.stderr)  # without a reader a pipe holds 64 KB
            assert sys.stderr.fileno() == stream.fileno()
        os.close(reader)


def test_a_process_without_streams_stays_without(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    with queued_prints(LineWriter(None, str)):
        assert sys.stdout is None
