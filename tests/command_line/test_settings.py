"""``--print-config``: what holds, and why; never a secret."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from api.command_line import settings as settings_module
from api.command_line.options import SETTINGS, Option, value
from api.command_line.parser import parse_args
from api.command_line.settings import Setting, to_toml


def printed(capsys: pytest.CaptureFixture[str], argv: list[str], environ: dict[str, str]) -> str:
    with pytest.raises(SystemExit) as caught:
        parse_args([*argv, "--print-config"], environ)
    assert caught.value.code == 0
    return capsys.readouterr().out


def test_each_setting_says_where_it_comes_from(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "server.toml"
    path.write_text("workers = 2\n")
    argv = [
        "--config",
        str(path),
        "--port",
        "9",
        "--served-model-name",
        "a",
        'b"',
        "--served-model-name",
        "c",
    ]
    lines = printed(capsys, argv, {"MLX_CHAT_KV_MEMORY": "24MB"}).splitlines()
    assert 'host = "0.0.0.0"  # default' in lines
    assert "port = 9  # command line" in lines
    assert "kv-memory = 24000000  # MLX_CHAT_KV_MEMORY" in lines
    assert f"workers = 2  # {path}" in lines
    assert r'served-model-name = ["a", "b\"", "c"]  # command line' in lines
    assert "# model is not set  # default" in lines


def test_what_is_printed_means_the_same_when_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    argv = ["some\tmodel", "--port", "9", "--verbose", "--kv-memory", "1.5GiB", "--served-model-name=ä\n\\"]
    path = tmp_path / "printed.toml"
    path.write_text(printed(capsys, argv, {}), encoding="utf-8")
    assert parse_args(["--config", str(path)], {}) == parse_args(argv, {})
    assert len(tomllib.loads(path.read_text(encoding="utf-8"))) > 20


def test_settings_that_are_wrong_are_not_printed(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        parse_args(["--print-config", "--prefix-cache", "off", "--prefix-cache-dir", "x"], {})
    assert caught.value.code == 2
    assert capsys.readouterr().out == ""


def test_secrets_are_not_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    secret = Option("word", "--word", value(str, "WORD"), "", is_secret=True)
    monkeypatch.setattr(settings_module, "GROUPS", {"server": (secret,)})
    found = {"model": Setting("m", "default"), "word": Setting("hunter2", "MLX_CHAT_WORD")}
    text = to_toml(found)
    assert "# word is set, and not shown  # MLX_CHAT_WORD" in text.splitlines()
    assert "hunter2" not in text


def test_whatever_sounds_secret_is_marked_as_secret() -> None:
    sounding = [each for each in SETTINGS if each.flag.endswith(("-key", "-token", "-password", "-secret"))]
    assert [each.flag for each in sounding if not each.is_secret] == []
