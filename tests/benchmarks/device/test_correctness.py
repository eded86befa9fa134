from __future__ import annotations

import mlx.core as mx
import mlx.nn as nn
import mlx_lm.utils
import pytest

from benchmarks.device.correctness import Judgement, judge, run_visits, summary, visits
from benchmarks.device.findings import Verdict
from benchmarks.device.prefix_hits import take_turn
from benchmarks.device.random_model import build_random_model, plain_twin
from benchmarks.device.runners import EngineRunner, Token
from benchmarks.device.shapes import SHAPES
from benchmarks.device.subject import load_subject
from tests.engine.tiny_models import build_plain_model, greedy_answer


def judgement(num_tokens: int = 20, num_wrong: int = 0, is_exact: bool = False) -> Judgement:
    return Judgement(num_tokens, num_tokens - num_wrong, num_wrong, 0.3, is_exact)


def test_at_half_precision_a_few_tokens_of_each_answer_may_differ() -> None:
    assert summary([judgement(), judgement(num_wrong=5)]).verdict is Verdict.PASS
    found = summary([judgement(), judgement(num_wrong=6), judgement()])
    assert found.verdict is Verdict.FAIL
    assert "wrong: chats 1" in found.detail
    assert summary([judgement(num_wrong=1, is_exact=True)]).verdict is Verdict.FAIL
    assert summary([judgement(), judgement(num_tokens=0)]).verdict is Verdict.FAIL


def test_an_answer_is_judged_token_by_token() -> None:
    plain = build_plain_model("llama")
    prompt = list(range(3, 40))
    answer = greedy_answer(plain, prompt, 12)
    assert judge(plain, prompt, answer) == Judgement(12, 12, 0, 0.0, True)
    wrong = [*answer[:5], (answer[5] + 1) % 100, *answer[6:]]
    assert judge(plain, prompt, wrong).num_wrong >= 1
    assert not judge(plain, prompt, wrong).is_right


def test_one_other_token_in_the_prompt_shows() -> None:
    """Random weights are no excuse: each answer depends on all that was said before it."""
    subject = load_subject(SHAPES["tiny-qwen3-bf16"])
    prompt = subject.draw_prompt(60, 5)
    answer = take_turn(EngineRunner(subject.engine), prompt).answer
    assert judge(subject.plain, prompt, answer).is_right
    changed = [(token + (place == 30)) % 4096 for place, token in enumerate(prompt)]
    judged = judge(subject.plain, changed, answer)
    assert judged.is_exact and not judged.is_right


class FakeEngine:
    """A token a step to all; notes who is cancelled."""

    def __init__(self) -> None:
        self.left: dict[int, int] = {}
        self.cancelled: list[int] = []

    def add(self, prompt: list[int], max_tokens: int) -> int:
        number = 100 + len(self.left)
        self.left[number] = max_tokens
        return number

    def cancel(self, number: int) -> None:
        self.cancelled.append(number)
        self.left[number] = 0

    @property
    def has_work(self) -> bool:
        return any(self.left.values())

    def step(self) -> list[Token]:
        live = [number for number, left in self.left.items() if left]
        for number in live:
            self.left[number] -= 1
        return [Token(number, number, 0.0) for number in live]


def test_chats_join_and_one_leaves_before_its_end() -> None:
    engine, chats = FakeEngine(), visits(1)
    answers = run_visits(engine, chats, [[1]] * len(chats))  # type: ignore[arg-type]
    left_early = [place for place, chat in enumerate(chats) if chat.leaves is not None]
    assert left_early
    for place, (chat, answer) in enumerate(zip(chats, answers, strict=True)):
        if place in left_early:
            assert 0 < len(answer) < chat.num_answer
        else:
            assert len(answer) == chat.num_answer
        assert len(set(answer)) == 1
    assert len(engine.cancelled) == len(left_early)


@pytest.mark.parametrize("name", ["tiny-qwen3-4bit", "tiny-qwen3-moe-4bit", "tiny-qwen3-next-4bit"])
def test_random_weights_are_packed_alike_in_both_classes(name: str) -> None:
    shape = SHAPES[name]
    model = build_random_model(shape.config, shape.precision, mlx_lm.utils._get_classes)
    packed = [module for _, module in model.named_modules() if "scales" in module]
    assert packed
    twin = plain_twin(model, shape.config)
    assert sum("scales" in module for _, module in twin.named_modules()) == len(packed)
    ids = mx.array([[1, 2, 3]])
    assert mx.array_equal(model(ids), twin(ids))
    assert isinstance(twin, nn.Module) and not twin.training
