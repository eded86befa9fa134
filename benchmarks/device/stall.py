"""How long eight streams stand still while a long prompt is read beside them, and when it gets its answer."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

from api.config import EngineConfig
from benchmarks.device.findings import Finding, Verdict
from benchmarks.device.measured_sizes import measured_sizes
from benchmarks.device.parts import Context
from benchmarks.device.runners import EngineRunner, MlxLmRunner, Runner
from benchmarks.device.sizes import LoadSizes
from benchmarks.device.subject import Subject, load_subject

_NUM_STREAMS = 8
_NUM_QUIET_STEPS = 24
_MOST_TOKENS = 8000  # of a stream: it has to go on while the prompt is read
_PATIENCE = 2.0  # times the stall target: a step is planned by what steps before it took


@dataclass(frozen=True, slots=True)
class Stall:
    """Seconds."""

    quiet_gap: float  # between two tokens of a stream, before
    longest_gap: float  # of any stream, while the prompt is read
    first_token: float  # of the prompt, after it came


def run(context: Context) -> None:
    subject = load_subject(context.model, speculation="off")
    sizes = measured_sizes(subject, context)
    most_tokens = min(_MOST_TOKENS, subject.engine.context_length // 2)
    # The first run is not counted: kernels are compiled in it.
    measure_stall(EngineRunner(subject.engine), _prompts(subject, sizes, 1), most_tokens)
    ours = measure_stall(EngineRunner(subject.engine), _prompts(subject, sizes, 2), most_tokens)
    with subject.as_plain_mlx_lm() as plain:
        theirs = measure_stall(MlxLmRunner(plain), _prompts(subject, sizes, 2), most_tokens)
    for finding in findings(ours, theirs, EngineConfig().step_stall_ms / 1000):
        context.log.add(finding)


def _prompts(subject: Subject, sizes: LoadSizes, seed: int) -> list[list[int]]:
    """Those of the streams, then the long one."""
    lengths = [sizes.prompt] * _NUM_STREAMS + [sizes.long_prompt]
    return [subject.draw_prompt(length, 100 * seed + place) for place, length in enumerate(lengths)]


def measure_stall(runner: Runner, prompts: Sequence[Sequence[int]], most_tokens: int = _MOST_TOKENS) -> Stall:
    try:
        *short, long = prompts
        times: dict[int, list[float]] = {runner.add(prompt, most_tokens): [] for prompt in short}
        while min(map(len, times.values())) < _NUM_QUIET_STEPS:
            _note(runner, times)
        quiet = median(later - sooner for each in times.values() for sooner, later in pairwise(each[-12:]))
        came = time.perf_counter()
        number = runner.add(long, 2)
        times[number] = []
        while not times[number]:
            _note(runner, times)
        first = times.pop(number)[0]
        _note(runner, times | {number: []})
        return Stall(quiet, max(_longest(each, came) for each in times.values()), first - came)
    finally:
        runner.close()


def _note(runner: Runner, times: dict[int, list[float]]) -> None:
    for token in runner.step():
        times[token.sequence_id].append(token.seconds)


def _longest(times: Sequence[float], since: float) -> float:
    """The longest gap that ends after ``since``."""
    return max((later - sooner for sooner, later in pairwise(times) if later >= since), default=0.0)


def findings(ours: Stall, theirs: Stall, target_seconds: float) -> list[Finding]:
    allowed = ours.quiet_gap + _PATIENCE * target_seconds
    is_kept = ours.longest_gap <= max(allowed, theirs.longest_gap)
    return [
        _of("gap between tokens before", ours.quiet_gap, theirs.quiet_gap, Verdict.INFO),
        _of(
            "longest gap of eight streams",
            ours.longest_gap,
            theirs.longest_gap,
            Verdict.PASS if is_kept else Verdict.SLOW,
            f"<= {1000 * allowed:.0f} ms",
        ),
        _of("the long prompt's first token", ours.first_token, theirs.first_token, Verdict.INFO),
    ]


def _of(name: str, mine: float, other: float, verdict: Verdict, target: str = "") -> Finding:
    return Finding(
        name, verdict, 1000 * mine, "ms", 1000 * other, mine / other, target, "against BatchGenerator"
    )
