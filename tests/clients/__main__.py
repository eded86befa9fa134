"""Real clients, each from its own package, all at once against one real server with the default model.

``python -m tests.clients OPENAI3_VENV OPENAI2_VENV`` starts the server and then one process for each
client: pytest in the environment that the client's folder is named after, Node for ``node/``. One
client alone, with CLIENTS_BASE_URL=http://localhost:8000/v1 in the environment::

    .venv-openai3/bin/python -m pytest tests/clients/openai3/test_litellm.py
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

from tests.clients.conftest import URL_VARIABLE
from tests.clients.forms import ALIAS
from tests.fakes.program import ROOT, Program

HERE = Path(__file__).resolve().parent
NUM_AT_ONCE = 6  # each client waits for the server most of the time, and starts at the expense of the others
TIMEOUT_SECONDS = 300

# LangChain's suite asks one thing after another for minutes, so its parts run side by side.
PARTS = {
    "test_langchain_standard": (
        "optional or pydantic_2",
        "structured and not optional and not pydantic_2",
        "tool or agent",
        "not structured and not tool and not agent",
    )
}

# Nothing here reaches beyond this machine: no telemetry, no price list of models from the web.
QUIET = {
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "OPENAI_AGENTS_DISABLE_TRACING": "1",
    "LANGSMITH_TRACING": "false",
    "AI_SDK_LOG_WARNINGS": "false",
}


@dataclass(frozen=True)
class Report:
    """How a client fared."""

    name: str
    passed: bool
    output: bytes
    seconds: float

    def show(self) -> None:
        print(f"--- {self.name}: {'passed' if self.passed else 'FAILED'} in {self.seconds:.0f} s")
        print(self.output.decode(errors="replace"), flush=True)


@dataclass(frozen=True)
class Client:
    """A command that tests one client."""

    name: str
    command: tuple[str, ...]

    def run(self, base_url: str) -> Report:
        environment = os.environ | QUIET | {URL_VARIABLE: base_url}
        started = time.monotonic()
        try:
            run = subprocess.run(
                self.command,
                cwd=ROOT,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                timeout=TIMEOUT_SECONDS,
            )
        except subprocess.TimeoutExpired as expired:
            return Report(self.name, False, expired.output or b"", TIMEOUT_SECONDS)
        return Report(self.name, run.returncode == 0, run.stdout, time.monotonic() - started)


def find_clients(openai3: Path, openai2: Path) -> Iterator[Client]:
    """The ones that take longest come first."""
    folders = ((openai3, HERE / "openai3"), (openai2, HERE / "openai2"))
    paths = [(venv, path) for venv, folder in folders for path in folder.glob("test_*.py")]
    for venv, path in sorted(paths, key=lambda each: (each[1].stem not in PARTS, each[1])):
        command = (str(venv / "bin/python"), "-m", "pytest", "-q", "--tb=short", str(path))
        for part in PARTS.get(path.stem, ("",)):
            name = path.stem.removeprefix("test_").replace("_", " ")
            yield Client(f"{name} ({part})" if part else name, (*command, "-k", part))
    node = str(openai3 / "bin/node")
    for path in sorted((HERE / "node").glob("*.test.js")):
        yield Client(f"{path.name.removesuffix('.test.js')} (node)", (node, "--test", str(path)))


def run_all(clients: list[Client], base_url: str) -> bool:
    """Whether all of them passed."""
    reports = []
    with ThreadPoolExecutor(NUM_AT_ONCE) as pool:
        for future in as_completed([pool.submit(client.run, base_url) for client in clients]):
            reports.append(future.result())
            reports[-1].show()
    failed = sorted(report.name for report in reports if not report.passed)
    print(f"{len(reports) - len(failed)} of {len(reports)} clients passed", *failed, sep="; failed: ")
    return not failed


def main() -> int:
    clients = list(find_clients(Path(sys.argv[1]), Path(sys.argv[2])))
    program = Program.start("--served-model-name", ALIAS)
    try:
        return 0 if run_all(clients, f"{program.url}/v1") else 1
    finally:
        program.kill()


if __name__ == "__main__":
    sys.exit(main())
