from __future__ import annotations

import pytest

from benchmarks.code_prompts import CHANGES, MODULE, edit_prompts
from benchmarks.load import Answer
from benchmarks.speculation import decode_rate


def test_a_rate_is_of_the_tokens_after_the_first() -> None:
    answer = Answer(started=0.0, token_times=[5.0, 6.0, 7.0], ended=9.0, num_completion_tokens=41)
    assert decode_rate(answer) == pytest.approx(10.0)


def test_each_edit_shows_the_whole_module_and_names_its_change() -> None:
    prompts = edit_prompts()
    assert len(set(prompts)) == len(CHANGES)
    assert all(MODULE in prompt and change in prompt for prompt, change in zip(prompts, CHANGES, strict=True))
    compile(MODULE, "module", "exec")
