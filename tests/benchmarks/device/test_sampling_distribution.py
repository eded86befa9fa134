"""Right samplers pass, and each wrong one is found out by the case that it is wrong in."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import mlx.core as mx
import pytest

from api.engine.sampling.sampler import Sampler, Samples
from api.engine.sampling.state import Row
from api.types import SamplingParams
from benchmarks.device.findings import Verdict
from benchmarks.device.sampling_distribution import (
    CASES,
    Case,
    check_case,
    check_greedy,
    check_logprobs,
    check_seeds,
    draw_logits,
    make_row,
)
from tests.engine.fake_devices import gpu_platform
from tests.engine.tiny_models import platform

NUM_DRAWS = 1000
LOGITS = draw_logits(1000)
BOTH = [Sampler(platform()), Sampler(gpu_platform())]
SAMPLERS = pytest.mark.parametrize("sampler", BOTH, ids=["here", "gpu"])
Change = Callable[[SamplingParams], SamplingParams]


class Wrong(Sampler):
    """Samples by other parameters than it was asked for."""

    def __init__(self, change: Change) -> None:
        super().__init__(platform())
        self._change = change

    def prepare(self, rows: Sequence[Row], vocab_size: int) -> None: ...

    def __call__(self, logits: mx.array, rows: Sequence[Row]) -> Samples:
        changed = [make_row(self._change(row.sampling), row.sequence_id) for row in rows]
        return super().__call__(logits, changed)


@SAMPLERS
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_right_sampler_passes(sampler: Sampler, case: Case) -> None:
    found = check_case(sampler, LOGITS, case, NUM_DRAWS, "")
    assert found.verdict is Verdict.PASS, found


@SAMPLERS
def test_so_it_does_where_no_chance_is_in_it(sampler: Sampler) -> None:
    for check in (check_greedy, check_logprobs, check_seeds):
        found = check(sampler, LOGITS, "")
        assert found.verdict is Verdict.PASS, found


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("temperature 0.6", {"temperature": 0.9}),
        ("top_k 20", {"top_k": 24}),
        ("top_k 400", {"top_k": 0, "temperature": 1.4}),
        ("top_p 0.9", {"top_p": 0.97}),
        ("min_p 0.05", {"min_p": 0.02}),
        ("penalties", {"frequency_penalty": 0.0, "presence_penalty": 0.0, "repetition_penalty": 1.0}),
        ("logit_bias", {"logit_bias": ()}),
        ("min_tokens", {"min_tokens": 0}),
        ("grammar", {"grammar": None}),
        ("temperature 1", {"seed": 1}),  # all seeds draw the same
    ],
)
def test_a_wrong_one_fails(name: str, change: dict[str, Any]) -> None:
    case = next(case for case in CASES if case.name == name)
    found = check_case(Wrong(lambda sampling: replace(sampling, **change)), LOGITS, case, NUM_DRAWS, "")
    assert found.verdict is Verdict.FAIL, found


def test_wrong_logprobs_fail() -> None:
    wrong = Wrong(lambda sampling: replace(sampling, frequency_penalty=0.4))
    assert check_logprobs(wrong, LOGITS, "").verdict is Verdict.FAIL
