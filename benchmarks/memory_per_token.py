"""Bytes that a token of a running chat takes, over the arithmetic minimum: 1, 8 and 32 chats of 4 k tokens.

The chats are the choices of one request, so that their prompt is read once. What MLX itself counts as active
beyond the loaded model is divided by the tokens' keys and values; the largest of many looks is reported.
"""

from __future__ import annotations

import argparse
import json
import sys
import threading
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path

if not __package__:  # run as a file
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.prompts import story_prompt
from benchmarks.report import Finding, Limit, Target, all_met, print_report
from benchmarks.servers import Server, project_server
from benchmarks.weights import default_target, float32_folder

NUM_CHATS = (1, 8, 32)
NUM_TOKENS = 4096
NUM_ANSWER_TOKENS = 96
MAX_RATIO = 1.25
LOOK_SECONDS = 0.1


@dataclass(slots=True)
class Looks:
    """The most that was seen while a load ran."""

    active_bytes: int = 0
    slot_bytes: int = 0


def main(argv: list[str] | None = None) -> int:
    """Returns 0 when every target is met, 1 otherwise."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--weights", type=Path, help="where the float32 folder is or will be")
    options = parser.parse_args(argv)
    folder = float32_folder(None, options.weights or default_target(None))
    findings: list[Finding] = []
    for num_chats in NUM_CHATS:
        with project_server(folder, "--prefix-cache", "off") as server:
            findings += measure(server, num_chats)
    print_report(findings, f"chats of {NUM_TOKENS} tokens, bytes over the arithmetic minimum", "")
    return 0 if all_met(findings) else 1


def measure(server: Server, num_chats: int) -> list[Finding]:
    """Runs the chats to their end and looks at /stats all the while."""
    looks, is_over = Looks(), threading.Event()
    watcher = threading.Thread(target=_watch, args=(server, looks, is_over))
    watcher.start()
    try:
        usage = _run(server, num_chats)
    finally:
        is_over.set()
        watcher.join()
    model = server.get("/stats")["model"]
    num_tokens = usage["prompt_tokens"] + usage["completion_tokens"] // num_chats
    least_bytes = num_chats * num_tokens * model["kv_bytes_per_token"]
    print(
        f"  {num_chats} chats of {num_tokens} tokens: {least_bytes / 1e9:.2f} GB at least, {looks}",
        flush=True,
    )
    at = f"{num_chats} chat" + "s" * (num_chats > 1)
    return [
        Limit(f"{at}: slots", "x", looks.slot_bytes / least_bytes, Target(at_most=MAX_RATIO)),
        Limit(f"{at}: all that MLX holds", "x", looks.active_bytes / least_bytes, Target(at_most=MAX_RATIO)),
    ]


def _watch(server: Server, looks: Looks, is_over: threading.Event) -> None:
    while not is_over.is_set():
        stats = server.get("/stats")
        device = stats["device_memory"]
        looks.active_bytes = max(looks.active_bytes, device["active_bytes"] - device["loaded_bytes"])
        looks.slot_bytes = max(looks.slot_bytes, stats["kv_memory"]["reserved_bytes"])
        time.sleep(LOOK_SECONDS)


def _run(server: Server, num_chats: int) -> dict[str, int]:
    """One request with a choice for each chat; returns its usage."""
    body = {
        "model": server.model,
        "messages": [{"role": "user", "content": story_prompt(NUM_TOKENS - NUM_ANSWER_TOKENS, 0)}],
        "n": num_chats,
        "max_tokens": NUM_ANSWER_TOKENS,
        "ignore_eos": True,
        "seed": 0,
    }
    request = urllib.request.Request(
        server.url + "/v1/chat/completions", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request) as response:
        usage: dict[str, int] = json.load(response)["usage"]
    return usage


if __name__ == "__main__":
    sys.exit(main())
