"""Decode and prefill rates against mlx-lm on the same weights, in turns; medians of the rounds' ratios."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from statistics import median

from api.engine.device.free_memory import is_cpu_backend
from benchmarks.device.findings import Finding, SkipPartError, Verdict
from benchmarks.device.measured_sizes import measured_sizes
from benchmarks.device.parts import Context
from benchmarks.device.runners import EngineRunner, MlxLmRunner, Runner, StepRunner
from benchmarks.device.sizes import LoadSizes
from benchmarks.device.speeds import decode_rate, prefill_rate
from benchmarks.device.subject import Subject, load_subject
from benchmarks.device.time_budget import Deadline

_NUM_ROWS = (1, 8, 32)
_MOST_ROUNDS = 7
_LEAST_RATIO = 0.97  # below, it is slower by more than noise


@dataclass(frozen=True, slots=True)
class Side:
    """One of two that are measured in turn; ``setting`` holds while it runs."""

    name: str
    make: Callable[[], Runner]
    setting: Callable[[], AbstractContextManager[object]]


Measure = Callable[[Runner, int], float]  # tokens per second, with prompts drawn from a seed


def run(context: Context) -> None:
    if is_cpu_backend() and not context.model.widens:
        raise SkipPartError("half precision has no fast products on a CPU, whoever runs it")
    # Plain decoding on both sides: random weights repeat themselves, which speculation would live on.
    subject = load_subject(context.model, speculation="off")
    sizes = measured_sizes(subject, context)
    ours = Side("this server", lambda: EngineRunner(subject.engine), nullcontext)
    batches = Side("BatchGenerator", lambda: MlxLmRunner(subject.plain), subject.as_plain_mlx_lm)
    steps = Side("generate_step", lambda: StepRunner(subject.plain), subject.as_plain_mlx_lm)
    loads = [(f"decode, {n} row{'s' * (n > 1)}", batches, _decode(subject, sizes, n)) for n in _NUM_ROWS]
    loads.insert(1, ("decode, 1 row", steps, _decode(subject, sizes, 1)))
    loads.append((f"prefill, {sizes.prefill} tokens", steps, _prefill(subject, sizes)))
    for index, (name, theirs, measure) in enumerate(loads):
        deadline = context.deadline.portion(1 / (len(loads) - index))
        context.log.add(finding(name, theirs.name, in_turns(ours, theirs, measure, deadline)))


def _decode(subject: Subject, sizes: LoadSizes, num_rows: int) -> Measure:
    def measure(runner: Runner, seed: int) -> float:
        prompts = [subject.draw_prompt(sizes.prompt, 1000 * seed + row) for row in range(num_rows)]
        return decode_rate(runner, prompts, sizes.decode_steps)

    return measure


def _prefill(subject: Subject, sizes: LoadSizes) -> Measure:
    return lambda runner, seed: prefill_rate(runner, subject.draw_prompt(sizes.prefill, seed))


def in_turns(ours: Side, theirs: Side, measure: Measure, deadline: Deadline) -> list[tuple[float, float]]:
    """At least one round behind a first one that is not counted, then as many as there is time for."""
    pairs: list[tuple[float, float]] = []
    for seed in range(_MOST_ROUNDS + 1):
        started = deadline.clock()
        sides = (ours, theirs) if seed % 2 else (theirs, ours)
        rates = {side.name: _measured(side, measure, seed) for side in sides}
        pairs.append((rates[ours.name], rates[theirs.name]))
        seconds = deadline.clock() - started
        if seed and deadline.left_seconds < seconds:
            break
    return pairs[1:]


def _measured(side: Side, measure: Measure, seed: int) -> float:
    with side.setting():
        runner = side.make()
        try:
            return measure(runner, seed)
        finally:
            runner.close()


def finding(name: str, against: str, pairs: Sequence[tuple[float, float]]) -> Finding:
    ratio = median(mine / other for mine, other in pairs)
    return Finding(
        name,
        Verdict.PASS if ratio >= _LEAST_RATIO else Verdict.SLOW,
        value=median(mine for mine, _ in pairs),
        unit="tokens/s",
        reference=median(other for _, other in pairs),
        ratio=ratio,
        target=f">= {_LEAST_RATIO}",
        detail=f"against {against}, {len(pairs)} round{'s' * (len(pairs) > 1)}",
    )
