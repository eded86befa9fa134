"""Greedy tokens of chats that join and leave, each judged by plain mlx-lm's logits for the very same text."""

from __future__ import annotations

import itertools
from collections.abc import Sequence as Items
from dataclasses import dataclass

import mlx.core as mx
import mlx.nn as nn
import numpy as np
from mlx_lm.generate import generate_step
from mlx_lm.models.cache import make_prompt_cache

from api.engine.forward.choosing.self_check import logit_tolerance
from benchmarks.device.findings import Finding, Verdict
from benchmarks.device.measured_sizes import measured_sizes
from benchmarks.device.parts import Context
from benchmarks.device.runners import EngineRunner
from benchmarks.device.subject import Subject, load_subject

_PREFILL_TOKENS = 512
# At half precision an expert's near tie makes another choice now and then: of one answer's tokens at most
# so many. A wrong forward misses nearly all.
_WRONG_SHARE = 0.25
_NUM_COMPARED = 3  # answers that mlx-lm generates as well


@dataclass(frozen=True, slots=True)
class Visit:
    """One chat."""

    num_prompt: int
    num_answer: int
    joins: int  # at this step
    leaves: int | None = None  # at this step, cancelled
    shares: int = 0  # tokens at the prompt's front that are the fifth's


@dataclass(frozen=True, slots=True)
class Judgement:
    """Of one answer."""

    num_tokens: int
    num_best: int  # tokens that plain mlx-lm says too
    num_wrong: int  # beyond a near tie
    largest_gap: float  # of the best logit to the chosen one's, in shares of the largest logit
    is_exact: bool  # float32

    @property
    def is_right(self) -> bool:
        return self.num_wrong <= (0 if self.is_exact else self.num_tokens * _WRONG_SHARE)


def visits(scale: int) -> tuple[Visit, ...]:
    """One token and many chunks, early and late, one cancelled, two that begin as another did."""
    return (
        Visit(3, 30, 0),
        Visit(40 * scale, 12, 0),
        Visit(17 * scale, 40, 2),
        Visit(1, 25, 3),
        Visit(300 * scale, 16, 4),
        Visit(9, 90, 5, leaves=30),
        Visit(64 * scale, 30, 12),
        Visit(310 * scale, 20, 60, shares=290 * scale),
        Visit(290 * scale, 20, 60, shares=288 * scale),
    )


def run(context: Context) -> None:
    subject = load_subject(context.model)
    context.log.note(f"engine:{context.model.name}", engine_note(subject))
    context.log.add(
        Finding(
            "forward", Verdict.INFO, detail=f"{subject.engine.describe['forward']}: {check_line(subject)}"
        )
    )
    chats = visits(measured_sizes(subject, context).length_scale)
    prompts = draw_prompts(subject, chats)
    answers = run_visits(EngineRunner(subject.engine, uses_prefix_cache=True), chats, prompts)
    with subject.as_plain_mlx_lm() as plain:
        judged = [judge(plain, prompt, answer) for prompt, answer in zip(prompts, answers, strict=True)]
        context.log.add(summary(judged))
        context.log.add(compare(plain, prompts[:_NUM_COMPARED], answers[:_NUM_COMPARED]))


def engine_note(subject: Subject) -> dict[str, object]:
    """For the report's head; ``tuning``, where the engine measured its device, is part of ``describe``."""
    return dict(subject.engine.describe) | {"load": subject.lines}


def check_line(subject: Subject) -> str:
    said = [line for line in subject.lines if line.startswith("Forward:")]
    return said[-1] if said else "no word of a self-check"


def draw_prompts(subject: Subject, chats: Items[Visit]) -> list[list[int]]:
    prompts = [subject.draw_prompt(chat.num_prompt, seed) for seed, chat in enumerate(chats)]
    longest = prompts[4]
    return [
        [*longest[: chat.shares], *prompt[chat.shares :]] for chat, prompt in zip(chats, prompts, strict=True)
    ]


def run_visits(runner: EngineRunner, chats: Items[Visit], prompts: Items[Items[int]]) -> list[list[int]]:
    """The chats' tokens; of those that were cancelled, what they had."""
    numbers: dict[int, int] = {}
    answers: list[list[int]] = [[] for _ in chats]
    last_joining = max(chat.joins for chat in chats)
    for step in itertools.count():
        if step > last_joining and not runner.has_work:
            return answers
        for place, chat in enumerate(chats):
            if chat.joins == step:
                numbers[runner.add(prompts[place], chat.num_answer)] = place
            if chat.leaves == step:
                runner.cancel(next(number for number, at in numbers.items() if at == place))
        for token in runner.step():
            answers[numbers[token.sequence_id]].append(token.token_id)
    raise AssertionError("unreachable")


def judge(plain: nn.Module, prompt: Items[int], answer: Items[int]) -> Judgement:
    """Each token of ``answer`` by the plain model's logits behind all tokens before it."""
    logits = answer_logits(plain, prompt, answer)
    tolerance, is_exact = logit_tolerance(logits.dtype)
    rows = np.array(logits.astype(mx.float32))
    best = rows.max(axis=-1)
    gaps = (best - rows[np.arange(len(answer)), answer]) / np.abs(rows).max(axis=-1)
    return Judgement(
        num_tokens=len(answer),
        num_best=int((rows.argmax(axis=-1) == np.array(answer)).sum()),
        num_wrong=int((~(gaps <= tolerance)).sum()),
        largest_gap=float(gaps.max(initial=0.0)),
        is_exact=is_exact,
    )


def answer_logits(plain: nn.Module, prompt: Items[int], answer: Items[int]) -> mx.array:
    """``[len(answer), vocabulary]``."""
    cache = make_prompt_cache(plain)
    for first in range(0, len(prompt) - 1, _PREFILL_TOKENS):
        plain(mx.array([prompt[first : min(first + _PREFILL_TOKENS, len(prompt) - 1)]]), cache=cache)
        mx.eval([each.state for each in cache])
    logits: mx.array = plain(mx.array([[prompt[-1], *answer[:-1]]]), cache=cache)[0]
    mx.eval(logits)
    return logits


def summary(judged: Items[Judgement]) -> Finding:
    num_tokens = sum(each.num_tokens for each in judged)
    num_best = sum(each.num_best for each in judged)
    wrong = [place for place, each in enumerate(judged) if not each.is_right]
    is_empty = any(each.num_tokens == 0 for each in judged)
    num_wrong = sum(each.num_wrong for each in judged)
    largest_gap = max(each.largest_gap for each in judged)
    detail = (
        f"{len(judged)} chats; {num_best} tokens are plain mlx-lm's, {num_tokens - num_best - num_wrong} "
        f"near ties, {num_wrong} neither; largest gap {largest_gap:.2g} of the logits"
    )
    if wrong:
        detail += f"; wrong: chats {', '.join(map(str, wrong))}"
    verdict = Verdict.FAIL if wrong or is_empty else Verdict.PASS
    return Finding(
        "greedy tokens over joins and leaves", verdict, num_best, "tokens", num_tokens, detail=detail
    )


def compare(plain: nn.Module, prompts: Items[Items[int]], answers: Items[Items[int]]) -> Finding:
    """How far mlx-lm's own generation says the same; it may part at a near tie, which ``judge`` judges."""
    same, total = 0, 0
    for prompt, answer in zip(prompts, answers, strict=True):
        steps = generate_step(mx.array(list(prompt)), plain, max_tokens=len(answer))
        theirs = [int(token_id) for token_id, _ in steps]
        pairs = zip(answer, theirs, strict=True)
        same += sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], pairs))
        total += len(answer)
    return Finding("the same as mlx_lm.generate up to a near tie", Verdict.INFO, same, "tokens", total)
