"""Settings from a file and from variables: what they mean, who goes first, and what is said of wrong ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from api.command_line.options import SETTINGS, Option
from api.command_line.parser import parse_args
from api.command_line.sources import variable
from api.config import EngineConfig, ServerConfig


def write(folder: Path, text: str) -> str:
    path = folder / "server.toml"
    path.write_text(text, encoding="utf-8")
    return str(path)


def error_of(capsys: pytest.CaptureFixture[str], argv: list[str], environ: dict[str, str]) -> str:
    with pytest.raises(SystemExit) as caught:
        parse_args(argv, environ)
    assert caught.value.code == 2
    usage, line = capsys.readouterr().err.splitlines()
    assert usage.startswith("usage:")
    return line.removeprefix("app.py: error: ")


def test_a_file_has_the_options_names_and_tomls_values(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        'model = "org/name"\nport = 9\nkv-memory = "24MB"\nverbose = true\nstep-stall-ms = 0.00001\n'
        'served-model-name = ["a", "b"]\ndrain-seconds = 1.5\nprefix-cache = "on"\n'
        "max-body = 1000\nkv-bits = 8\n",
    )
    assert parse_args(["--config", path], {}) == ServerConfig(
        engine=EngineConfig(model="org/name", kv_memory_bytes=24_000_000, step_stall_ms=0.00001, kv_bits=8),
        port=9,
        verbose=True,
        served_model_names=("a", "b"),
        drain_seconds=1.5,
        max_body_bytes=1000,
    )


def test_variables_have_the_options_names_too() -> None:
    environ = {
        "MLX_CHAT_MODEL": "-odd-",
        "MLX_CHAT_KV_MEMORY": "24MB",
        "MLX_CHAT_VERBOSE": "yes",
        "MLX_CHAT_SERVED_MODEL_NAME": "a,b",
        "MLX_CHAT_PORT": "",
        "PATH": "/bin",
    }
    assert parse_args([], environ) == ServerConfig(
        engine=EngineConfig(model="-odd-", kv_memory_bytes=24_000_000),
        verbose=True,
        served_model_names=("a", "b"),
    )


def test_what_is_typed_goes_before_variables_before_the_file(tmp_path: Path) -> None:
    path = write(
        tmp_path, 'port = 1\nhost = "file"\nworkers = 5\nserved-model-name = "file"\nreload = true\n'
    )
    environ = {
        "MLX_CHAT_PORT": "2",
        "MLX_CHAT_HOST": "variable",
        "MLX_CHAT_SERVED_MODEL_NAME": "variable",
        "MLX_CHAT_RELOAD": "false",
    }
    config = parse_args(["--port", "3", "--served-model-name", "typed", "--config", path], environ)
    assert (config.port, config.host, config.workers, config.reload) == (3, "variable", 5, False)
    assert config.served_model_names == ("typed",)


def test_what_is_typed_as_the_default_goes_first_too() -> None:
    assert parse_args(["--port", "8000"], {"MLX_CHAT_PORT": "9"}).port == 8000


def test_a_variable_can_name_the_file(tmp_path: Path) -> None:
    environ = {"MLX_CHAT_CONFIG": write(tmp_path, "port = 7\n")}
    assert parse_args([], environ).port == 7
    (tmp_path / "other.toml").write_text("port = 8\n")
    assert parse_args(["--config", str(tmp_path / "other.toml")], environ).port == 8


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("prot = 9", "no option is called 'prot'; is port meant?"),
        ("config = 'x'", "no option is called 'config'"),
        ("kv_memory = 9", "no option is called 'kv_memory'; is kv-memory meant?"),
        ("[server]\nport = 9", "no option is called 'server'"),
        ("port = 'x'", "port: 'x' is no whole number from 0 on"),
        ("port = true", "port: takes a text or a number"),
        ("port = [1]", "port: takes a text or a number"),
        ("served-model-name = {a = 1}", "served-model-name: takes a text or a number, or a list of them"),
        ("verbose = 1", "verbose: takes true or false"),
        ("forward = 'magic'", "forward: invalid choice: 'magic'"),
        ("request-timeout = inf", "request-timeout: 'Infinity' is no number from 0 on"),
        ("port = ?", "Invalid value (at line 1, column 8)"),
        ("host = '\udcff'", "'utf-8' codec can't decode"),
    ],
)
def test_a_wrong_file_is_one_line_that_names_it(
    text: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "server.toml"
    path.write_bytes(text.encode(errors="surrogateescape"))
    line = error_of(capsys, ["--config", str(path)], {})
    assert line.startswith(f"{path}: {message}")


def test_a_file_that_is_not_there_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = str(tmp_path / "none.toml")
    assert error_of(capsys, ["--config", path], {}) == f"{path}: cannot be read (No such file or directory)"


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("MLX_CHAT_PROT", "9", "no option has this name; is MLX_CHAT_PORT meant?"),
        ("MLX_CHAT_CHECK", "1", "no option has this name"),
        ("MLX_CHAT_PORT", "x", "'x' is no whole number from 0 on"),
        ("MLX_CHAT_VERBOSE", "maybe", "takes true or false"),
        ("MLX_CHAT_KV_BITS", "3", "invalid choice: 3"),
    ],
)
def test_a_wrong_variable_is_one_line_that_names_it(
    name: str, value: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert error_of(capsys, [], {name: value}).startswith(f"{name}: {message}")


def test_settings_that_do_not_go_together_are_said_with_their_sources(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path, 'prefix-cache = "off"\n')
    line = error_of(capsys, ["--config", path], {"MLX_CHAT_PREFIX_CACHE_MEMORY": "1MB"})
    assert line == (
        "--prefix-cache-memory needs --prefix-cache on; "
        f"--prefix-cache is from {path}; --prefix-cache-memory is from MLX_CHAT_PREFIX_CACHE_MEMORY"
    )
    typed = error_of(capsys, ["--prefix-cache", "off", "--prefix-cache-memory", "1MB"], {})
    assert typed == "--prefix-cache-memory needs --prefix-cache on"


@pytest.mark.parametrize("option", SETTINGS, ids=lambda option: option.flag)
def test_every_option_has_its_variable(option: Option) -> None:
    assert variable(option).removeprefix("MLX_CHAT_").replace("_", "-").lower() == option.name
