"""What ``prediction`` is worth: an edit of a file of 300 lines, against a server with ``--speculation off``.

A small model edits badly, so the edit is made backwards. The plain server writes a file on, drawn with a
fixed seed, for about 300 lines; then an earlier version of it is made, with another word in every tenth line,
some lines missing and some that the file no longer has. The speculating server gets the same request with
that version as its prediction, and must write the same file. The file is not in the prompt, as it would be
in a real edit, so what is gained comes from the prediction alone.

Also measured: stories with a prediction that is about something else, which must cost next to nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import re
import sys
from pathlib import Path
from typing import Any

if not __package__:  # run as a file
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.code_prompts import MODULE
from benchmarks.load import Answer, chat_body, messages_body, stream_chat
from benchmarks.prompts import story_prompts
from benchmarks.report import Comparison, Finding, Target, all_met, print_report
from benchmarks.scenarios import warm_up
from benchmarks.servers import Server, only, project_server
from benchmarks.speculation import decode_rate
from benchmarks.weights import default_target, float32_folder

MIN_EDIT_RATIO = 4.0
MIN_WRONG_RATIO = 0.95
NUM_LINES = 300
TOKENS_PER_LINE = 9
NUM_STORY_TOKENS = 160
NUM_STORY_PROMPT_TOKENS = 64
SEEDED = {"temperature": 0.7, "seed": 5, "ignore_eos": True}


def main(argv: list[str] | None = None) -> int:
    """Returns 0 when every target is met, 1 otherwise."""
    options = _parse(argv)
    folder = float32_folder(None, options.weights or default_target(None))
    with project_server(folder) as predicting, project_server(folder, "--speculation", "off") as plain:
        plain.name = "speculation off"
        findings = _measure(predicting, plain, options)
    print_report(findings, f"{options.rounds} round(s), medians", plain.name)
    return 0 if all_met(findings) else 1


def _parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rounds", type=int, default=1, help="pairs of runs of each load (default 1)")
    parser.add_argument("--lines", type=int, default=NUM_LINES, help="of the file (default 300)")
    parser.add_argument("--weights", type=Path, help="where the float32 folder is or will be")
    return parser.parse_args(argv)


def _measure(predicting: Server, plain: Server, options: argparse.Namespace) -> list[Finding]:
    for server, other in ((predicting, plain), (plain, predicting)):
        with only(server, [other]):
            warm_up(server)
    edits = [_pair(predicting, plain, edit_body(seed, options.lines), None) for seed in range(options.rounds)]
    stories = [_pair(predicting, plain, _story_body(seed), MODULE) for seed in range(3 * options.rounds)]
    return [
        _comparison(f"edit of {options.lines} lines", edits, MIN_EDIT_RATIO),
        _comparison("story, wrong prediction", stories, MIN_WRONG_RATIO),
    ]


def _comparison(name: str, pairs: list[tuple[float, float]], at_least: float) -> Comparison:
    ours, theirs = zip(*pairs, strict=True)
    return Comparison(name, "tokens/s", tuple(ours), tuple(theirs), Target(at_least=at_least))


def _pair(
    predicting: Server, plain: Server, body: dict[str, Any], prediction: str | None
) -> tuple[float, float]:
    """Both servers' decode rates; ``prediction``: None for an earlier version of the plain one's answer."""
    expected = _ask(plain, predicting, body)
    text = earlier_version(expected.text) if prediction is None else prediction
    answer = _ask(predicting, plain, body | {"prediction": {"type": "content", "content": text}})
    if answer.text != expected.text:
        print("  the answers differ: a near tie, or a mistake", flush=True)
    rates = decode_rate(answer), decode_rate(expected)
    print(
        f"  {answer.num_completion_tokens} tokens, {len(answer.text.splitlines())} lines: "
        f"{rates[0]:.1f} against {rates[1]:.1f} tokens/s, {answer.num_accepted_tokens} accepted, "
        f"{answer.num_rejected_tokens} rejected",
        flush=True,
    )
    return rates


def _ask(server: Server, other: Server, body: dict[str, Any]) -> Answer:
    with only(server, [other]):
        return asyncio.run(stream_chat(server.url, body))


def edit_body(seed: int, num_lines: int) -> dict[str, Any]:
    """A request to write on a module."""
    wish = f"Write a Python module of {num_lines} lines that runs a shop, with a class for each department."
    messages = [{"role": "user", "content": wish}, {"role": "assistant", "content": MODULE}]
    body = messages_body(messages, TOKENS_PER_LINE * num_lines, "model") | SEEDED
    return body | {"seed": seed, "continue_final_message": True}


def _story_body(seed: int) -> dict[str, Any]:
    (prompt,) = story_prompts(1, NUM_STORY_PROMPT_TOKENS, seed)
    return chat_body(prompt, NUM_STORY_TOKENS, "model") | SEEDED | {"seed": seed}


def earlier_version(text: str) -> str:
    """The file before the edit: a tenth of its lines has another word, three are missing, four are more."""
    lines = text.splitlines(keepends=True)
    changed = [_with_other_word(line) if number % 10 == 9 else line for number, line in enumerate(lines)]
    third, two_thirds = len(lines) // 3, 2 * len(lines) // 3
    removed = ["    # the old way\n", "    legacy = self.lookup(17)\n", "    if legacy:\n", "        pass\n"]
    return "".join([*changed[:third], *changed[third + 3 : two_thirds], *removed, *changed[two_thirds:]])


def _with_other_word(line: str) -> str:
    longest = max(re.findall(r"[A-Za-z]+", line), key=len, default="")
    return line.replace(longest, "previous", 1) if longest else line


if __name__ == "__main__":
    sys.exit(main())
