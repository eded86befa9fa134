"""Every way of sampling on this device: tokens of many seeds against the exact probabilities."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import mlx.core as mx
import numpy as np
from numpy.typing import NDArray

from api.engine.device.platform import detect_platform
from api.engine.sampling.sampler import Sampler
from api.engine.sampling.state import Row, SamplingState
from api.step_plan import SampledToken, Slot, Span
from api.types import SamplingParams
from benchmarks.device.exact_probabilities import (
    changed_logits,
    chi_square,
    chi_square_limit,
    probabilities,
)
from benchmarks.device.findings import Finding, Verdict
from benchmarks.device.letters import ALLOWED, LetterGrammar
from benchmarks.device.parts import Context

PROMPT, ANSWER = (3, 5, 8, 8), (13, 21, 13, 34)
# Vocabulary -> seeds that are drawn with.
_NUM_DRAWS = {1000: 6000, 151_936: 1500}
_TINY_NUM_DRAWS = {1000: 2000, 20_000: 400}
_ROWS = 50  # drawn at a time
_SPREAD = 2.5  # of the logits
_NEAR = 2e-4  # of a logprob
_MOST_OTHERS = 2  # of a thousand tokens: where two arrive at the same moment, rounding decides
_BIASES = ((40, 2.5), (41, -3.0), (42, -100.0))


@dataclass(frozen=True, slots=True)
class Case:
    """One way of sampling."""

    name: str
    sampling: SamplingParams
    allowed: tuple[int, ...] | None = None  # by its grammar


CASES: tuple[Case, ...] = (
    Case("temperature 1", SamplingParams()),
    Case("temperature 0.6", SamplingParams(temperature=0.6)),
    Case("top_k 20", SamplingParams(top_k=20)),
    Case("top_k 400", SamplingParams(top_k=400)),
    Case("top_p 0.9", SamplingParams(top_p=0.9)),
    Case("min_p 0.05", SamplingParams(min_p=0.05)),
    Case("top_k 50, top_p 0.8", SamplingParams(temperature=0.8, top_k=50, top_p=0.8)),
    Case("min_p 0.01, top_k 300, top_p 0.95", SamplingParams(top_k=300, top_p=0.95, min_p=0.01)),
    Case(
        "penalties",
        SamplingParams(frequency_penalty=0.7, presence_penalty=0.5, repetition_penalty=1.3),
    ),
    Case("logit_bias", SamplingParams(logit_bias=_BIASES)),
    Case("min_tokens", SamplingParams(min_tokens=9, end_token_ids=(0, 1, 2))),
    Case("grammar", SamplingParams(grammar=LetterGrammar()), ALLOWED),
    Case("grammar, top_p 0.9", SamplingParams(top_p=0.9, grammar=LetterGrammar()), ALLOWED),
)


def run(context: Context) -> None:
    sampler = Sampler(detect_platform())
    for vocab_size, num_draws in (_TINY_NUM_DRAWS if context.is_tiny else _NUM_DRAWS).items():
        logits = draw_logits(vocab_size)
        at = f", {vocab_size:,} tokens"
        context.log.add(check_greedy(sampler, logits, at))
        for case in CASES:
            context.log.add(check_case(sampler, logits, case, num_draws, at))
        context.log.add(check_logprobs(sampler, logits, at))
        context.log.add(check_seeds(sampler, logits, at))


def draw_logits(vocab_size: int) -> NDArray[np.float32]:
    """One row, whose tokens of the prompt, the answer, the biases and the grammar are likely ones."""
    logits = np.random.default_rng(vocab_size).normal(size=vocab_size) * _SPREAD
    likely = [*PROMPT, *ANSWER, *(token for token, _ in _BIASES), *ALLOWED, 0, 1, 2]
    logits[likely] = logits.max() - np.linspace(0, 2, len(likely))
    return logits.astype(np.float32)


def check_greedy(sampler: Sampler, logits: NDArray[np.float32], at: str) -> Finding:
    rolled = np.stack([np.roll(logits, 37 * row) for row in range(_ROWS)])
    rows = [make_row(SamplingParams(temperature=0.0), row) for row in range(_ROWS)]
    found = [token.token_id for token in sampler(mx.array(rolled), rows).read()]
    return _counted("greedy" + at, int((np.array(found) != rolled.argmax(axis=-1)).sum()), _ROWS, 0)


def check_case(sampler: Sampler, logits: NDArray[np.float32], case: Case, num_draws: int, at: str) -> Finding:
    wanted = probabilities(logits, case.sampling, PROMPT, ANSWER, case.allowed)
    tokens = np.array([t.token_id for t in draw(sampler, logits, case.sampling, num_draws)])
    num_outside = int((wanted[tokens] == 0).sum())
    statistic, freedom = chi_square(tokens, wanted)
    limit = chi_square_limit(freedom)
    is_right = num_outside == 0 and statistic <= limit
    return Finding(
        case.name + at,
        Verdict.PASS if is_right else Verdict.FAIL,
        statistic,
        "chi-square",
        float(freedom),
        target=f"<= {limit:.0f}",
        detail=f"{num_outside} of {len(tokens)} tokens are ruled out" if num_outside else "",
    )


def check_logprobs(sampler: Sampler, logits: NDArray[np.float32], at: str) -> Finding:
    """Of the changed logits, before temperature."""
    sampling = SamplingParams(temperature=0.7, frequency_penalty=0.5, num_top_logprobs=5)
    scores = changed_logits(logits, sampling, PROMPT, ANSWER)
    logprobs = scores - scores.max() - np.log(np.exp(scores - scores.max()).sum())
    worst = 0.0
    for token in draw(sampler, logits, sampling, _ROWS):
        assert token.logprobs is not None
        pairs = [(token.token_id, token.logprobs.logprob), *token.logprobs.top]
        worst = max([worst, *(abs(value - logprobs[token_id]) for token_id, value in pairs)])
    verdict = Verdict.PASS if worst <= _NEAR else Verdict.FAIL
    return Finding("logprobs" + at, verdict, worst, "nats off", target=f"<= {_NEAR}")


def check_seeds(sampler: Sampler, logits: NDArray[np.float32], at: str) -> Finding:
    """Alone, among others of other kinds, and with the last bits of its logits rounded otherwise."""
    kinds = [SamplingParams(), SamplingParams(top_p=0.9), SamplingParams(top_k=50)]
    others = [make_row(replace(kinds[i % 3], seed=i % 7), i) for i in range(_ROWS)]
    noise = np.random.default_rng(5).normal(size=(_ROWS, len(logits))).astype(np.float32)
    rounded = mx.array(logits[None] * (1 + 1e-6 * noise))
    together = [token.token_id for token in sampler(rounded, others).read()]
    alone = [sampler(mx.array(logits[None]), [row]).read()[0].token_id for row in others]
    num_other = sum(mine != other for mine, other in zip(together, alone, strict=True))
    return _counted("seeds hold" + at, num_other, _ROWS, max(1, _MOST_OTHERS * _ROWS // 1000))


def draw(
    sampler: Sampler, logits: NDArray[np.float32], sampling: SamplingParams, count: int
) -> list[SampledToken]:
    """One token of each of ``count`` seeds, the rows of a batch at a time."""
    rows = mx.broadcast_to(mx.array(logits), (_ROWS, len(logits)))
    tokens: list[SampledToken] = []
    for first in range(0, count, _ROWS):
        batch = [make_row(replace(sampling, seed=first + i), i) for i in range(_ROWS)]
        sampler.prepare(batch, len(logits))
        tokens += sampler(rows, batch).read()
    return tokens


def make_row(sampling: SamplingParams, sequence_id: int) -> Row:
    """A chat that has said ``ANSWER`` behind ``PROMPT``."""
    return row_of(sequence_id, sampling, PROMPT, () if sampling.grammar else ANSWER)


def row_of(sequence_id: int, sampling: SamplingParams, prompt: Sequence[int], answer: Sequence[int]) -> Row:
    """Of a sequence that catches up with all it knows."""
    row = Row(sequence_id, sampling, len(answer))
    if not sampling.needs_state:
        return row
    state = SamplingState(sampling)
    state.extend(Span(sequence_id, Slot(256, sequence_id), 0, (*prompt, *answer), 1, len(answer)))
    state.follow(len(answer))
    return replace(row, state=state)


def _counted(name: str, num_wrong: int, total: int, allowed: int) -> Finding:
    verdict = Verdict.PASS if num_wrong <= allowed else Verdict.FAIL
    detail = f"of {total} tokens"
    return Finding(name, verdict, num_wrong, "differ", target=f"<= {allowed}", detail=detail)
