"""Prompts as long as this device, this model and the time at hand allow."""

from __future__ import annotations

from dataclasses import asdict

from benchmarks.device.parts import Context
from benchmarks.device.runners import EngineRunner
from benchmarks.device.sizes import CPU, GPU, LoadSizes, fitting
from benchmarks.device.speeds import prefill_rate
from benchmarks.device.subject import Subject

_PROBE_TOKENS = 256


def measured_sizes(subject: Subject, context: Context) -> LoadSizes:
    """By the rate at which a prompt is read, twice: kernels are compiled the first time."""
    if context.is_tiny:
        return CPU
    _read_probe(subject, seed=-1)
    sizes = fitting(GPU, _read_probe(subject, seed=-2), context.deadline.left_seconds)
    context.log.note(f"sizes:{context.model.name}", asdict(sizes))
    return sizes


def _read_probe(subject: Subject, seed: int) -> float:
    runner = EngineRunner(subject.engine)
    try:
        return prefill_rate(runner, subject.draw_prompt(_PROBE_TOKENS, seed))
    finally:
        runner.close()
