"""The files by which other programs start the server: they name what is there, and leave answers time."""

from __future__ import annotations

import configparser
import plistlib
import re
from pathlib import Path

from api.command_line.parser import parse_args
from api.config import ServerConfig
from api.serving.process_end import STARTUP_ERROR_CODE

ROOT = Path(__file__).resolve().parent.parent
DRAIN_SECONDS = ServerConfig().drain_seconds


def accepted(words: list[str], folder: Path) -> bool:
    """Whether the words behind ``app.py`` are options; a settings file is taken to be there."""
    config = folder / "server.toml"
    config.write_text("port = 9\n")
    known = [str(config) if word.endswith(".toml") else word for word in words]
    return parse_args(known, {}).port == 9


def test_systemd_starts_it_by_options_that_it_has(tmp_path: Path) -> None:
    unit = configparser.ConfigParser(interpolation=None)
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read(ROOT / "docs/systemd/mlx-chat-server.service")
    service = unit["Service"]
    python, program, *words = service["ExecStart"].split()
    assert python.startswith(f"{service['WorkingDirectory']}/.venv/") and program == "app.py"
    assert accepted(words, tmp_path)
    assert int(service["RestartPreventExitStatus"]) == STARTUP_ERROR_CODE
    assert int(service["TimeoutStopSec"]) > DRAIN_SECONDS


def test_launchd_starts_it_by_options_that_it_has(tmp_path: Path) -> None:
    job = plistlib.loads((ROOT / "docs/launchd/mlx-chat-server.plist").read_bytes())
    python, program, *words = job["ProgramArguments"]
    assert python.startswith(f"{job['WorkingDirectory']}/.venv/") and program == "app.py"
    assert accepted(words, tmp_path)
    assert job["KeepAlive"] == {"SuccessfulExit": False}
    assert job["ExitTimeOut"] > DRAIN_SECONDS


def test_the_image_is_made_of_what_is_there_and_is_not_left_out() -> None:
    dockerfile = (ROOT / "Dockerfile").read_text()
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    sources = re.findall(r"^COPY (\S+) ", dockerfile, re.MULTILINE)
    assert sorted(sources) == ["api", "app.py", "requirements.txt"]
    assert all((ROOT / source).exists() and f"!{source}" in ignored for source in sources)
    wait = re.search(r"--stop-timeout (\d+)", (ROOT / "docs/operations.md").read_text())
    assert wait is not None and int(wait[1]) > DRAIN_SECONDS
