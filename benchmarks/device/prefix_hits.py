"""A conversation that comes back: what the prefix cache spares, and whether its answer is still right."""

from __future__ import annotations

import time
from collections.abc import Sequence

from benchmarks.device.correctness import judge
from benchmarks.device.findings import Finding, Verdict
from benchmarks.device.measured_sizes import measured_sizes
from benchmarks.device.parts import Context
from benchmarks.device.runners import EngineRunner
from benchmarks.device.subject import load_subject

_NUM_ANSWER_TOKENS = 24
_NUM_NEW_TOKENS = 20  # of the next turn
_LEAST_HIT_SHARE = 0.6  # of what could be there: recurrent state is kept now and then only


def run(context: Context) -> None:
    subject = load_subject(context.model)
    sizes = measured_sizes(subject, context)
    runner = EngineRunner(subject.engine, uses_prefix_cache=True)
    take_turn(runner, subject.draw_prompt(sizes.history, 0))  # compiles what is to be compiled
    history = subject.draw_prompt(sizes.history, 1)
    first = take_turn(runner, history)
    history += [*first.answer, *subject.draw_prompt(_NUM_NEW_TOKENS, 2)]
    second = take_turn(runner, history)
    for finding in findings(first, second, sizes.history):
        context.log.add(finding)
    with subject.as_plain_mlx_lm() as plain:
        judged = judge(plain, history, second.answer)
    context.log.add(
        Finding(
            "the second answer is plain mlx-lm's",
            Verdict.PASS if judged.is_right and judged.num_tokens else Verdict.FAIL,
            judged.num_best,
            "tokens",
            judged.num_tokens,
            detail=f"largest gap {judged.largest_gap:.2g} of the logits",
        )
    )


class Turn:
    """One prompt's answer."""

    def __init__(self, answer: list[int], first_seconds: float, num_cached: int) -> None:
        self.answer = answer
        self.first_seconds = first_seconds
        self.num_cached = num_cached


def take_turn(runner: EngineRunner, prompt: Sequence[int]) -> Turn:
    started = time.perf_counter()
    number = runner.add(prompt, _NUM_ANSWER_TOKENS)
    tokens = []
    while runner.has_work:
        tokens += runner.step()
    first_seconds = tokens[0].seconds - started
    return Turn([token.token_id for token in tokens], first_seconds, runner.num_cached.get(number, 0))


def findings(first: Turn, second: Turn, num_history: int) -> list[Finding]:
    share = second.num_cached / num_history
    ratio = second.first_seconds / first.first_seconds
    is_first_clean = first.num_cached == 0
    return [
        Finding(
            "prompt tokens from the cache",
            Verdict.PASS if share >= _LEAST_HIT_SHARE and is_first_clean else Verdict.FAIL,
            second.num_cached,
            "tokens",
            num_history,
            share,
            f">= {_LEAST_HIT_SHARE}",
            f"{first.num_cached} at the first turn",
        ),
        Finding(
            "time to the first token, second turn against first",
            Verdict.PASS if ratio < 1 else Verdict.SLOW,
            1000 * second.first_seconds,
            "ms",
            1000 * first.first_seconds,
            ratio,
            "< 1",
        ),
    ]
