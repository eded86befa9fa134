"""The program under a limit of its address space, where a failed allocation would be the end of it."""

from __future__ import annotations

import resource
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.engine.tiny_models import FLAT
from tests.fakes.model_folder import write_llama_folder
from tests.fakes.program import Program

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere nobody enforces the limit")
NUM_CHATS = 32
NUM_PROMPT_TOKENS, MAX_TOKENS = 190, 16
# A small model with 64 KiB of keys and values a token: all chats together want 430 MB.
CONFIG = FLAT["llama"] | {
    "vocab_size": 400,
    "max_position_embeddings": 2048,
    "num_hidden_layers": 8,
    "num_key_value_heads": 4,
    "head_dim": 256,
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_llama_folder(tmp_path_factory.mktemp("wide-llama"), CONFIG)


@contextmanager
def limited(limit_bytes: int, *arguments: str) -> Iterator[Program]:
    program = Program.start(*arguments)
    resource.prlimit(program.process.pid, resource.RLIMIT_AS, (limit_bytes, limit_bytes))
    try:
        yield program
    finally:
        program.kill()


def complete(url: str, number: int) -> int:
    """Returns the answer's tokens."""
    body = {
        "model": "model",
        "prompt": [(number * 7 + i) % 256 for i in range(NUM_PROMPT_TOKENS)],
        "max_tokens": MAX_TOKENS,
        "ignore_eos": True,
    }
    answer = httpx.post(f"{url}/v1/completions", json=body, timeout=900).raise_for_status().json()
    return int(answer["usage"]["completion_tokens"])


def test_what_is_free_is_shared_out_so_that_many_long_chats_never_run_out_of_it(folder: Path) -> None:
    with limited(2_300_000_000, str(folder)) as program:
        with ThreadPoolExecutor(NUM_CHATS) as pool:
            answers = list(pool.map(lambda number: complete(program.url, number), range(NUM_CHATS)))
        assert answers == [MAX_TOKENS] * NUM_CHATS
        memory = httpx.get(f"{program.url}/stats").json()["kv_memory"]
        assert program.process.poll() is None
    wanted_bytes = NUM_CHATS * (NUM_PROMPT_TOKENS + MAX_TOKENS) * 64 * 1024
    assert memory["budget_bytes"] < wanted_bytes, "the chats did not fill the memory"


@pytest.mark.parametrize(
    ("limit_bytes", "arguments", "message"),
    [
        (3_000_000_000, ("--kv-memory", "2.5GB"), "--kv-memory asks for 2.5 GB, but "),
        (1_100_000_000, (), "too little memory: "),
    ],
)
def test_what_cannot_fit_is_one_clear_line_at_start(
    folder: Path, limit_bytes: int, arguments: tuple[str, ...], message: str
) -> None:
    with limited(limit_bytes, str(folder), *arguments) as program:
        assert program.process.wait(120) == 2
        program.reader.join()
        assert [message in line for line in program.lines if line.startswith("error:")] == [True]
