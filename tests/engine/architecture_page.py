"""Writes ``docs/architectures.md`` from what the code gives: ``python -m tests.engine.architecture_page``."""

from __future__ import annotations

from collections import Counter
from functools import cache
from pathlib import Path

from api.engine.forward.choosing.choose import ChosenForward, choose_forward
from tests.engine.architectures import NEEDS_METAL, NEEDS_PACKAGE, NOTES, architectures, build, config
from tests.engine.tiny_models import platform

ROOT = Path(__file__).resolve().parent.parent.parent
PAGE = ROOT / "docs" / "architectures.md"
COMMAND = "python -m tests.engine.architecture_page"
_MAX_STEP_TOKENS = 24

_INTRODUCTION = """\
# Architectures

Every architecture that mlx-lm ships, and how its batch runs. A self-check at load decides: a few random
tokens through the model as it is, and through each forward.

- **flat**: one forward over a list of tokens, prompts and answers alike.
- **grouped**: the single tokens of all answers in one forward, each prompt's chunk in one of its own.
- **padded**: mlx-lm's own caches; prompts one by one, answers merged into its batch caches.
- **padded, one row at a time**: mlx-lm's own caches, nothing merged. Correct, and no faster than one chat.

The prefix cache works for flat and grouped models. A test runs each of them with a tiny random
configuration and compares the tokens of interleaved sequences with mlx-lm's own; this page is written by
`{command}`.
"""

_HEADS = """\
## Heads for several tokens

Some families ship a head that proposes further tokens (MTP, "nextn"). mlx-lm drops its weights when it loads
a model, and its model files have no module for it: none can be had through its public loading, and none is
used here. A small model of the same family can propose instead: `--draft-model`, both by the flat forward.

- Qwen3-Next, Qwen3.5 (`qwen3_next`, `qwen3_5`, `qwen3_5_moe`): `mtp.*` dropped.
- GLM-4.5, 4.6, 4.7 (`glm4_moe`, `glm4_moe_lite`), GLM-5 (`glm_moe_dsa`): layers behind the last one dropped.
- DeepSeek (`deepseek_v3`, `deepseek_v32`, `deepseek_v41`): layers behind the last one, or `mtp.*`, dropped.
- MiMo (`mimo`, `mimo_v2_flash`): `model.mtp*` dropped.
- ERNIE-4.5 (`ernie4_5_moe`): `mtp_*` dropped.
- Ling (`bailing_hybrid`, `bailing_moe_v3`), Step-3.5 (`step3p5`): layers behind the last one dropped.
- Nemotron-H, EXAONE-MoE, LongCat, Kimi (`kimi_linear`, `kimi_k3`): `mtp*` dropped.
"""


def page(forwards: dict[str, tuple[str, str]]) -> str:
    """``forwards``: architecture -> forward and the reason why it is no faster one."""
    rows = [f"| `{name}` | {forward} | {reason} |" for name, (forward, reason) in forwards.items()]
    counts = Counter(forward for forward, _ in forwards.values())
    total = ", ".join(f"{count} {forward}" for forward, count in counts.most_common())
    table = ["| Architecture | Forward | Why |", "| --- | --- | --- |", *rows]
    return "\n".join(
        [_INTRODUCTION.format(command=COMMAND), f"{len(rows)} in all: {total}.\n", *table, "", _HEADS]
    )


def forward_of(name: str) -> tuple[str, str]:
    """The forward that an architecture gets, and why."""
    if name in NEEDS_PACKAGE:
        return "cannot load", f"needs the package `{NEEDS_PACKAGE[name]}`"
    if name in NEEDS_METAL:
        return "not checked", "has kernels for Metal only"
    chosen, lines = choose_architecture(name)
    if name in NOTES or len(lines) == 1:
        return chosen.forward.name, NOTES.get(name, "")
    return chosen.forward.name, lines[-2].partition("(")[2].removesuffix(")")


@cache
def choose_architecture(name: str) -> tuple[ChosenForward, list[str]]:
    """The forward of a tiny model, and what was reported."""
    lines: list[str] = []
    vocab_size = config(name)["vocab_size"]
    chosen = choose_forward(build(name), platform(), vocab_size, _MAX_STEP_TOKENS, "auto", lines.append)
    return chosen, lines


if __name__ == "__main__":
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(page({name: forward_of(name) for name in architectures()}), encoding="utf-8")
