"""In processes of their own, since limits cannot be put back."""

from __future__ import annotations

import subprocess
import sys

import pytest

resource = pytest.importorskip("resource")


def run(soft: int, hard: int, code: str) -> list[str]:
    start = f"import resource as r; r.setrlimit(r.RLIMIT_NOFILE, ({soft}, {hard}))\n"
    end = "\nprint(*r.getrlimit(r.RLIMIT_NOFILE))"
    done = subprocess.run([sys.executable, "-c", start + code + end], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


# Ends for want of a model, with all imports done.
LOAD = """
from api.config import EngineConfig, ServerConfig
from api.errors import StartupError
from api.server_handler import _load_engine
try:
    _load_engine(ServerConfig(EngineConfig(model="/nowhere/x.gguf")), id)
except StartupError:
    import mlx_lm.utils
"""
TOKENIZER = """
from pathlib import Path
from api.text.tokenizer import _load_backend
try:
    _load_backend(Path("/nowhere"), (), False)
except Exception:
    import mlx_lm.utils
"""


@pytest.mark.parametrize("code", [LOAD, TOKENIZER])
@pytest.mark.parametrize(("soft", "hard"), [(512, 1024), (1500, 6000)])
def test_mlx_lm_changes_no_limit(code: str, soft: int, hard: int) -> None:
    hard = min(hard, resource.getrlimit(resource.RLIMIT_NOFILE)[1])  # nobody may raise it
    assert run(soft, hard, code) == [str(soft), str(hard)]


@pytest.mark.parametrize(("soft", "hard"), [(256, 1024), (1024, 1024)])
def test_the_soft_limit_is_raised_to_the_hard_one(soft: int, hard: int) -> None:
    code = "from api.open_files import raise_open_file_limit as f\nf()"
    assert run(soft, hard, code) == ["1024", "1024"]


@pytest.mark.parametrize(("limit", "expected"), [(64, 48), (1024, 768), (4096, 3840)])
def test_files_are_kept_for_other_things_than_connections(limit: int, expected: int) -> None:
    code = "from api.open_files import max_connections as f\nprint(f())"
    assert run(limit, limit, code)[0] == str(expected)
