"""Sampling parameters through the whole engine over tiny random models, against the plain model's logits."""

from __future__ import annotations

import re
from dataclasses import replace

import mlx.core as mx
import numpy as np
import pytest
from numpy.typing import NDArray

from api.engine.forward.choosing.choose import ChosenForward
from api.engine.sampling.sampler import Sampler
from api.engine.sequences.sequence import Sequence
from api.errors import ServerSideError
from api.generator import BatchGenerator
from api.step_plan import SampledToken, Slot, Span, StepPlan
from api.types import SamplingParams
from benchmarks.device.exact_probabilities import changed_logits
from tests.engine.factories import Loop, create_sequence
from tests.engine.fake_forwards import FailingForward, UniformForward
from tests.engine.sampling_factories import (
    CHARACTERS,
    END_THINK,
    EOS,
    SECOND_END,
    RegexGrammar,
    log_softmax,
    text_of,
    token_ids,
)
from tests.engine.tiny_models import Sizes, build_plain_model, choose, create_mlx_loop, draw_prompt, platform
from tests.fakes.thinking import create_thinking

pytestmark = pytest.mark.usefixtures("tiny_classes")

MlxLoop = Loop[BatchGenerator]
NUM_ANSWER_TOKENS = 24
REGEX = r"\{\"[a-z]{3,9}\": (true|false|[0-9]{2,5})\}"
BUDGET = create_thinking(CHARACTERS, max_tokens=5)
THOUGHT = create_thinking(CHARACTERS, max_tokens=5, with_grammar=True)
NEAR_TIE = 1e-3

GREEDY = SamplingParams(temperature=0.0)
CHANGED: dict[str, SamplingParams] = {
    "plain": GREEDY,
    "penalties": replace(GREEDY, frequency_penalty=1.5, presence_penalty=0.5, repetition_penalty=1.3),
    "bias": replace(GREEDY, logit_bias=((7, 3.0), (9, -100.0)), num_top_logprobs=3),
    "answer penalties": replace(GREEDY, frequency_penalty=2.0, num_top_logprobs=0),
    "min_tokens": replace(GREEDY, min_tokens=20, end_token_ids=tuple(range(0, 60, 2))),
    "repetition": replace(GREEDY, repetition_penalty=1.8),
}
DRAWN: dict[str, SamplingParams] = {
    "grammar": SamplingParams(grammar=RegexGrammar(REGEX), end_token_ids=(EOS,), seed=1),
    "greedy grammar": replace(GREEDY, grammar=RegexGrammar(REGEX), end_token_ids=(EOS,), num_top_logprobs=4),
    "thought grammar": SamplingParams(
        grammar=RegexGrammar("a+b"), thinking=THOUGHT, end_token_ids=(EOS,), seed=2
    ),
    "budget": SamplingParams(thinking=BUDGET, seed=3, top_k=200),
    "filters": SamplingParams(temperature=0.8, top_p=0.9, top_k=40, min_p=0.01, presence_penalty=1.0, seed=4),
    "top_p": SamplingParams(temperature=1.2, top_p=0.7, repetition_penalty=1.2, seed=5, num_top_logprobs=20),
}


def create_prompt(number: int) -> list[int]:
    return draw_prompt(number, [1, 5, 17, 60])


def create_numbered(number: int, sampling: SamplingParams) -> Sequence:
    return create_sequence(
        number,
        max_tokens=NUM_ANSWER_TOKENS,
        prompt=create_prompt(number),
        sampling=sampling,
        eos_token_ids=[EOS] if sampling.grammar else [],
    )


def run(loop: MlxLoop, samplings: list[SamplingParams]) -> list[list[int]]:
    """All requests, one joining every other step. Returns their tokens."""
    for number, sampling in enumerate(samplings, 1):
        loop.add(create_numbered(number, sampling))
        loop.step()
        loop.step()
    loop.run()
    loop.check_idle()
    assert all(result.error is None for result in loop.results.values())
    return [result.token_ids for result in loop.results.values()]


def plain_logits(name: str, prompt: list[int], answer: list[int]) -> NDArray[np.float32]:
    """What mlx-lm's model says before each token of the answer."""
    logits = build_plain_model(name)(mx.array([prompt + answer]))[0].astype(mx.float32)
    return np.array(logits)[len(prompt) - 1 : -1]


def check_greedy_over_changed(
    name: str, prompt: list[int], answer: list[int], sampling: SamplingParams
) -> None:
    assert len(answer) == NUM_ANSWER_TOKENS
    for i, logits in enumerate(plain_logits(name, prompt, answer)):
        changed = changed_logits(logits, sampling, prompt, answer[:i])
        assert changed[answer[i]] >= changed.max() - NEAR_TIE, f"token {i} of {answer}"


@pytest.mark.device
@pytest.mark.parametrize("name", ["llama", "gpt_oss", "qwen3_next"])
def test_greedy_is_greedy_over_the_changed_logits(name: str) -> None:
    loop = create_mlx_loop(choose(name)[0], platform(), Sizes())
    answers = run(loop, list(CHANGED.values()))
    for number, (answer, sampling) in enumerate(zip(answers, CHANGED.values(), strict=True), 1):
        check_greedy_over_changed(name, create_prompt(number), answer, sampling)
    assert len({tuple(answer) for answer in answers}) == len(answers)


def test_preemption_and_failed_steps_change_nothing() -> None:
    chosen, _ = choose("llama")
    undisturbed = run(create_mlx_loop(chosen, platform(), Sizes()), [*CHANGED.values(), *DRAWN.values()])
    short = create_mlx_loop(chosen, platform(), Sizes(budget_tokens=200))
    assert run(short, [*CHANGED.values(), *DRAWN.values()]) == undisturbed
    assert short.scheduler.stats().num_preemptions > 0
    failing = FailingForward(chosen.forward, after={4, 11, 25})
    flaky = ChosenForward(failing, chosen.slot_bytes, chosen.can_copy)
    assert (
        run(create_mlx_loop(flaky, platform(), Sizes()), [*CHANGED.values(), *DRAWN.values()]) == undisturbed
    )


@pytest.mark.device
@pytest.mark.parametrize("name", ["llama", "qwen3_next"])
def test_each_request_gets_alone_what_it_gets_among_others(name: str) -> None:
    chosen, _ = choose(name)
    samplings = [*DRAWN.values(), *CHANGED.values()]
    together = run(create_mlx_loop(chosen, platform(), Sizes(max_batch_size=12)), samplings)
    for number, (sampling, answer) in enumerate(zip(samplings, together, strict=True), 1):
        loop = create_mlx_loop(chosen, platform(), Sizes())
        loop.add(create_numbered(number, sampling))
        loop.run()
        assert loop.results[f"r{number}"].token_ids == answer


@pytest.mark.device
def test_answers_have_the_form_of_their_grammar_and_budgets_hold() -> None:
    loop = create_mlx_loop(choose("llama")[0], platform(), Sizes(max_batch_size=12))
    answers = dict(zip(DRAWN, run(loop, list(DRAWN.values())), strict=True))
    for name in ("grammar", "greedy grammar"):
        text = text_of(answers[name])
        assert re.fullmatch(REGEX, text.removesuffix(f"<{EOS}>"))
        assert text.endswith(f"<{EOS}>")
    assert answers["budget"].index(END_THINK) <= 5 and answers["budget"][5] in (END_THINK, SECOND_END)
    thought = text_of(answers["thought grammar"])
    assert re.fullmatch(rf".{{5,}}<{END_THINK}><{SECOND_END}>a+(b<{EOS}>)?", thought, re.DOTALL)


@pytest.mark.device
def test_a_step_reports_the_logprobs_of_the_rows_that_ask() -> None:
    """Driven by hand, so that the logprobs are seen as the generator gives them."""
    chosen, _ = choose("llama")
    generator = BatchGenerator(chosen.forward, Sampler(platform()))
    asking = replace(GREEDY, num_top_logprobs=4, logit_bias=((3, 2.0),))
    prompts = {1: create_prompt(2), 2: create_prompt(3), 3: create_prompt(4)}
    samplings = {1: asking, 2: GREEDY, 3: replace(asking, num_top_logprobs=0)}
    spans = tuple(
        Span(i, Slot(128, i), 0, tuple(prompt), True, 0)
        for i, prompt in sorted(prompts.items(), key=lambda pair: len(pair[1]) > 1)
    )
    for sequence_id, sampling in samplings.items():
        generator.add(sequence_id, sampling)
    generator.step(StepPlan(spans=spans, num_slots=((128, 4),)))
    sampled = {token.sequence_id: token for token in generator.step(StepPlan(num_slots=((128, 4),)))}
    assert sampled[2].logprobs is None
    for i in (1, 3):
        [logits] = plain_logits("llama", prompts[i], [sampled[i].token_id])
        expected = log_softmax(changed_logits(logits, samplings[i], prompts[i], []))
        logprobs = sampled[i].logprobs
        assert logprobs is not None and logprobs.logprob == pytest.approx(expected.max(), abs=1e-4)
        best = np.sort(expected)[::-1][: samplings[i].num_top_logprobs]
        assert [value for _, value in logprobs.top] == pytest.approx(best.tolist(), abs=1e-4)


def test_a_token_of_a_sequence_that_was_released_meanwhile_is_ignored() -> None:
    generator = BatchGenerator(UniformForward(), Sampler(platform()))
    generator.add(1, replace(GREEDY, grammar=RegexGrammar("[b-d]x")))
    span = Span(1, Slot(8, 0), 0, (5, 6), True, 0)
    generator.step(StepPlan(spans=(span,)))
    assert generator.step(StepPlan(released=(1,))) == [SampledToken(1, token_ids("b")[0])]
    generator.step(StepPlan(spans=(span,)))
    assert generator.step(StepPlan(spans=(replace(span, start=2, token_ids=(), sample_index=1),))) == [
        SampledToken(1, token_ids("b")[0])
    ]
    assert generator.step(StepPlan()) == [SampledToken(1, token_ids("x")[0])]


@pytest.mark.parametrize("forget", ["release", "reset"])
def test_what_is_forgotten_has_to_be_told_again(forget: str) -> None:
    generator = BatchGenerator(UniformForward(), Sampler(platform()))
    generator.add(1, replace(GREEDY, frequency_penalty=1.0))
    span = Span(1, Slot(8, 0), 0, (5, 0, 1), True, 0)
    generator.step(StepPlan(spans=(span,)))
    if forget == "release":
        generator.step(StepPlan(released=(1,)))
    else:
        generator.reset()
    with pytest.raises(ValueError, match="not known"):
        generator.step(StepPlan(spans=(replace(span, start=3, token_ids=(4,), sample_index=1),)))


def test_a_reset_forgets_histories() -> None:
    generator = BatchGenerator(UniformForward(), Sampler(platform()))
    generator.add(1, replace(GREEDY, frequency_penalty=1.0))
    span = Span(1, Slot(8, 0), 0, (5, 0, 1), True, 2)
    generator.step(StepPlan(spans=(span,)))
    generator.reset()
    generator.step(StepPlan(spans=(replace(span, token_ids=(5, 0), sample_index=1),)))
    assert generator.step(StepPlan()) == [SampledToken(1, 1)]


def test_a_grammar_that_fails_is_that_rows_error_and_the_step_goes_on() -> None:
    generator = BatchGenerator(UniformForward(), Sampler(platform()))
    for sequence_id in (1, 2):
        generator.add(sequence_id, replace(GREEDY, grammar=RegexGrammar("[b-d]x")))
    broken = Span(1, Slot(8, 0), 0, (5, *token_ids("?")), True, 1)
    good = Span(2, Slot(8, 1), 0, (5, *token_ids("c")), True, 1)
    generator.step(StepPlan(spans=(broken, good)))
    first, second = generator.step(StepPlan())
    assert first.sequence_id == 1 and isinstance(first.error, ServerSideError)
    assert second == SampledToken(2, token_ids("x")[0])


class BrokenGrammar(RegexGrammar):
    """Its matchers have run into their error before they begin."""

    def new_matcher(self) -> object:  # type: ignore[override]
        matcher = super().new_matcher()
        matcher.consume_token(EOS)
        assert matcher.is_error()
        return matcher


def test_a_grammar_that_fails_costs_the_other_requests_nothing() -> None:
    loop = create_mlx_loop(choose("llama")[0], platform(), Sizes())
    broken = replace(GREEDY, grammar=BrokenGrammar("ab"))
    for number, sampling in enumerate([GREEDY, broken, GREEDY], 1):
        loop.add(create_sequence(number, max_tokens=10, sampling=sampling))
    loop.run()
    loop.check_idle()
    errors = [result.error for result in loop.results.values()]
    assert errors[0] is errors[2] is None and isinstance(errors[1], ServerSideError)
    assert [len(result.token_ids) for result in loop.results.values()] == [10, 0, 10]
    assert not any(sequence.is_suspect for sequence in loop.sequences.values())
