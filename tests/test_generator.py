"""The engine over tiny random models: whatever happens around a request, its answer is mlx-lm's."""

from __future__ import annotations

import math
import random
from unittest import mock

import pytest

from api import generator as generator_module
from api.engine.forward.choosing.choose import ChosenForward
from api.engine.sampling.sampler import Sampler
from api.generator import BatchGenerator
from api.step_plan import SampledToken, Slot, Span, StepPlan
from api.types import FinishReason, SamplingParams
from tests.engine.factories import GREEDY, Loop, create_sequence
from tests.engine.fake_forwards import CountingForward, FailingForward, UniformForward
from tests.engine.tiny_models import (
    CONFIGS,
    FLAT,
    VOCAB_SIZE,
    Sizes,
    build_plain_model,
    check_greedy,
    choose,
    create_mlx_loop,
    gpu_like_platform,
    platform,
    tiny_greedy_answer,
)

pytestmark = pytest.mark.usefixtures("tiny_classes")

MlxLoop = Loop[BatchGenerator]
Counting = tuple[BatchGenerator, CountingForward]

# (number of prompt tokens, answer tokens, step at which it comes)
REQUESTS = ((3, 30, 0), (40, 12, 0), (17, 40, 2), (300, 10, 4), (1, 25, 8), (9, 30, 12))
CANCELLED, CANCEL_STEP = 3, 16
# All at once, each soon too long for its slot.
CROWD = tuple((5 + 2 * i, 40, 0) for i in range(6))

Requests = tuple[tuple[int, int, int], ...]


def create_prompts(requests: Requests = REQUESTS) -> list[list[int]]:
    draw = random.Random(0)
    return [[draw.randrange(VOCAB_SIZE) for _ in range(length)] for length, _, _ in requests]


def run_interleaved(
    loop: MlxLoop,
    requests: Requests = REQUESTS,
    cancelled: int | None = None,
    sampling: SamplingParams = GREEDY,
) -> list[list[int]]:
    """Requests that join while others run; one may be cancelled midway. Returns their tokens."""
    prompts, step = create_prompts(requests), 0
    while step <= max(first for *_, first in requests) or loop.scheduler.has_work:
        for i, (_, max_tokens, first) in enumerate(requests, 1):
            if first == step:
                loop.add(create_sequence(i, max_tokens=max_tokens, prompt=prompts[i - 1], sampling=sampling))
        if cancelled and step == CANCEL_STEP:
            loop.cancel(f"r{cancelled}")
        loop.step()
        step += 1
    loop.check_idle()
    return [loop.results[f"r{i}"].token_ids for i in range(1, len(requests) + 1)]


def check_answers(
    name: str, answers: list[list[int]], requests: Requests = REQUESTS, cancelled: int | None = None
) -> None:
    plain = build_plain_model(name)
    for i, (prompt, answer) in enumerate(zip(create_prompts(requests), answers, strict=True), 1):
        if i == cancelled:
            assert 0 < len(answer) < requests[i - 1][1], "the cancel came too early or too late for a test"
        else:
            assert len(answer) == requests[i - 1][1]
        check_greedy(plain, prompt, answer, tiny_greedy_answer(name, tuple(prompt), requests[i - 1][1]))


@pytest.mark.device
@pytest.mark.parametrize("name", CONFIGS)
def test_interleaved_answers_are_mlx_lm_own(name: str) -> None:
    chosen, _ = choose(name)
    loop = create_mlx_loop(chosen, platform(), Sizes())
    check_answers(name, run_interleaved(loop, cancelled=CANCELLED), cancelled=CANCELLED)
    assert loop.results[f"r{CANCELLED}"].finish_reason is FinishReason.CANCELLED
    assert any(plan.moves for plan in loop.plans)


@pytest.mark.parametrize("name", ["llama", "gpt_oss", "qwen3_next", "gpt_bigcode"])
def test_steps_dispatched_before_the_last_is_read_give_the_same(name: str) -> None:
    loop = create_mlx_loop(choose(name)[0], platform(), Sizes())
    loop.generator.early_limit_bytes = math.inf
    check_answers(name, run_interleaved(loop, cancelled=CANCELLED), cancelled=CANCELLED)


@pytest.mark.parametrize(("limit_bytes", "order"), [(0, "rd"), (1, "rd"), (1 << 30, "drd")])
def test_steps_are_dispatched_early_only_up_to_so_many_bytes_of_state(limit_bytes: int, order: str) -> None:
    loop = create_mlx_loop(choose("llama")[0], platform(), Sizes())
    loop.generator.early_limit_bytes = limit_bytes
    loop.add(create_sequence(1, max_tokens=8, prompt=[1, 2, 3]))
    loop.step()
    events: list[str] = []
    dispatch, read = generator_module.dispatch, loop.generator._read
    with (
        mock.patch.object(generator_module, "dispatch", lambda *a: (events.append("d"), dispatch(*a))),
        mock.patch.object(loop.generator, "_read", lambda: (events.append("r"), read())[1]),
    ):
        loop.step()
    assert "".join(events) == order
    loop.run()


# Three leave before the fourth, which then lies behind free slots; later ones take their places.
LEAVING = ((3, 2, 0), (5, 3, 0), (4, 2, 0), (3, 40, 0), (30, 3, 12), (3, 25, 12), (4, 20, 12))


@pytest.mark.device
@pytest.mark.parametrize("name", ["llama", "gemma3", "gpt_oss", "deepseek_v3"])
@pytest.mark.parametrize("budget_tokens", [100, 2048])
def test_slots_that_are_moved_together_change_nothing(name: str, budget_tokens: int) -> None:
    loop = create_mlx_loop(choose(name)[0], platform(), Sizes(budget_tokens=budget_tokens))
    check_answers(name, run_interleaved(loop, LEAVING), LEAVING)
    assert any(plan.compactions for plan in loop.plans)


@pytest.mark.device
@pytest.mark.parametrize("name", FLAT)
def test_the_gpu_path_gives_the_same(name: str) -> None:
    """MLX's own kernels instead of ours."""
    on = gpu_like_platform()
    chosen, _ = choose(name, on=on)
    assert chosen.forward.name == "flat"
    check_answers(name, run_interleaved(create_mlx_loop(chosen, on, Sizes())))


@pytest.mark.parametrize("name", ["llama", "gemma3"])
@pytest.mark.parametrize("choice", ["flat", "padded"])
def test_little_memory_and_preemption_change_nothing(name: str, choice: str) -> None:
    chosen, _ = choose(name, "flat" if choice == "flat" else "padded")
    loop = create_mlx_loop(chosen, platform(), Sizes(budget_tokens=130))
    check_answers(name, run_interleaved(loop, CROWD), CROWD)
    assert loop.scheduler.stats().num_preemptions > 0


@pytest.mark.parametrize("choice", ["flat", "padded"])
def test_after_a_step_that_raised_all_go_on(choice: str) -> None:
    chosen, _ = choose("llama", "flat" if choice == "flat" else "padded")
    flaky = ChosenForward(FailingForward(chosen.forward, before={3}, after={8, 20}), chosen.slot_bytes)
    loop = create_mlx_loop(flaky, platform(), Sizes())
    check_answers("llama", run_interleaved(loop))
    assert all(result.error is None for result in loop.results.values())


@pytest.mark.device
@pytest.mark.parametrize("name", ["llama", "gpt_oss"])
def test_the_same_seed_gives_the_same_tokens_alone_and_among_others(name: str) -> None:
    sampling = SamplingParams(temperature=1.0, top_p=0.95, top_k=50, min_p=0.01, seed=77)
    chosen, _ = choose(name)
    answers = run_interleaved(create_mlx_loop(chosen, platform(), Sizes()), sampling=sampling)
    for i, (prompt, answer) in enumerate(zip(create_prompts(), answers, strict=True), 1):
        loop = create_mlx_loop(chosen, platform(), Sizes())
        loop.add(create_sequence(i, max_tokens=len(answer), prompt=prompt, sampling=sampling))
        loop.run()
        assert loop.results[f"r{i}"].token_ids == answer


# --- the generator alone, over a forward that counts -------------------------------------------


def span(sequence_id: int, *token_ids: int, num_samples: int = 1) -> Span:
    return Span(sequence_id, Slot(64, sequence_id), 0, token_ids, num_samples, 0)


@pytest.fixture
def counting() -> Counting:
    forward = CountingForward()
    generator = BatchGenerator(forward, Sampler(platform()))
    for sequence_id in range(1, 6):
        generator.add(sequence_id, GREEDY)
    return generator, forward


def test_a_step_returns_what_the_one_before_sampled(counting: Counting) -> None:
    generator, _ = counting
    assert generator.step(StepPlan(spans=(span(1, 5), span(2, 7, 8)))) == []
    read = generator.step(StepPlan(spans=(span(3, 1, num_samples=0), span(4, 20, 21))))
    assert read == [SampledToken(1, 6), SampledToken(2, 9)]
    assert generator.step(StepPlan()) == [SampledToken(4, 22)]
    assert generator.step(StepPlan()) == []


def test_tokens_in_flight_feed_the_next_step(counting: Counting) -> None:
    generator, _ = counting
    generator.step(StepPlan(spans=(span(1, 5), span(2, 10), span(3, 20))))
    # 1 left; 2 and 3 go on in another order beside a newcomer and a sequence that catches up
    generator.step(StepPlan(spans=(span(3), span(4, 30), span(2), span(5, 40, 41))))
    assert generator.step(StepPlan(spans=(span(2), span(3)))) == [
        SampledToken(3, 22),
        SampledToken(4, 31),
        SampledToken(2, 12),
        SampledToken(5, 42),
    ]
    assert generator.step(StepPlan()) == [SampledToken(2, 13), SampledToken(3, 23)]


def test_a_step_that_samples_nothing_is_read_as_nothing(counting: Counting) -> None:
    generator, _ = counting
    generator.step(StepPlan(spans=(span(1, 5, 6, num_samples=0),)))
    assert generator.step(StepPlan()) == []


def test_a_plan_without_rows_still_reaches_the_forward(counting: Counting) -> None:
    generator, forward = counting
    generator.step(StepPlan(released=(1, 2)))
    assert forward.plans == [StepPlan(released=(1, 2))]


def test_a_reset_forgets_the_step_in_flight(counting: Counting) -> None:
    generator, forward = counting
    generator.step(StepPlan(spans=(span(1, 5),)))
    generator.reset()
    assert forward.num_resets == 1
    assert generator.step(StepPlan(spans=(span(1, 7),))) == []
    assert generator.step(StepPlan()) == [SampledToken(1, 8)]


def test_a_dispatch_may_be_left_until_what_was_read_is_told() -> None:
    forward = CountingForward()
    generator = BatchGenerator(forward, Sampler(platform()), leaves_dispatch=True)
    generator.add(1, GREEDY)
    generator.add(2, GREEDY)
    assert generator.step(StepPlan(spans=(span(1, 5), span(2, 7)))) == []
    generator.dispatch()
    generator.dispatch()  # nothing is left
    assert generator.step(StepPlan(spans=(span(2),))) == [SampledToken(1, 6), SampledToken(2, 8)]
    assert generator.step(StepPlan(spans=(span(2),))) == [
        SampledToken(2, 9)
    ]  # which dispatches the one before
    generator.reset()
    generator.dispatch()
    assert generator.step(StepPlan()) == []


def test_memory_is_given_back_only_when_nothing_is_left() -> None:
    releases: list[int] = []
    generator = BatchGenerator(UniformForward(), Sampler(platform()), lambda: releases.append(1))
    generator.add(1, GREEDY)
    span = Span(1, Slot(8, 0), 0, (5,), True, 0)
    generator.step(StepPlan(spans=(span,), num_slots=((8, 1),)))
    assert len(generator.step(StepPlan(num_slots=((8, 1),)))) == 1
    assert generator.read_seconds > 0
    assert releases == []
    generator.step(StepPlan(released=(1,), num_slots=((8, 0),)))
    assert releases == [1]
