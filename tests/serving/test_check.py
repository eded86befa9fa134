"""``--check``: what is printed, and what its exit code says."""

from __future__ import annotations

from pathlib import Path

import pytest

import app
from api.serving.check import chat_sizes
from tests.engine.tiny_models import FLAT
from tests.fakes.model_folder import write_llama_folder

CONFIG = FLAT["llama"] | {"vocab_size": 400, "max_position_embeddings": 1500}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_llama_folder(tmp_path_factory.mktemp("tiny-llama"), CONFIG)


def test_the_plan_is_printed_and_nothing_is_served(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    argv = [str(folder), "--check", "--tune", "off", "--kv-memory", "20MB", "--max-batch-size", "7"]
    assert app.main(argv) == 0
    lines = capsys.readouterr().out.splitlines()
    plan = {line[:9].strip(): line[9:] for line in lines if line[:9].strip()}
    assert list(plan) == ["model", "device", "forward", "weights", "KV", "batch"]
    assert plan["forward"] == "flat"
    assert plan["batch"] == "7 chats at once"
    token_bytes = int(plan["KV"].split()[2].replace(",", ""))
    assert plan["KV"] == f"20 MB, {token_bytes:,} bytes a token"
    assert [line[9:] for line in lines if not line[:9].strip()] == [
        f"room for {20_000_000 // (token_bytes * 1024):,} chats of 1,024 tokens",
        f"room for {20_000_000 // (token_bytes * 1500):,} chats of 1,500 tokens",
    ]


def test_a_certificate_that_cannot_be_used_is_found(folder: Path, tmp_path: Path) -> None:
    file = tmp_path / "cert.pem"
    file.write_text("none")
    assert app.main([str(folder), "--check", "--ssl-certfile", str(file)]) == 2


@pytest.mark.parametrize(
    "options", [["--kv-memory", "900TB"], ["--kv-memory", "1KB", "--prefix-cache", "off"]]
)
def test_what_would_not_start_has_the_starts_error_and_code(
    folder: Path, options: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    argv = [str(folder), "--tune", "off", *options]
    assert app.main([*argv, "--check"]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.splitlines()[-1].startswith("error: ")


def test_a_model_that_is_not_there_is_code_2(tmp_path: Path) -> None:
    assert app.main([str(tmp_path / "none"), "--check"]) == 2


@pytest.mark.parametrize(
    ("longest", "sizes"),
    [(300, [300]), (1024, [1024]), (8192, [1024, 4096, 8192]), (16384, [1024, 4096, 16384])],
)
def test_sizes_of_chats_end_with_the_longest(longest: int, sizes: list[int]) -> None:
    assert list(chat_sizes(longest)) == sizes
