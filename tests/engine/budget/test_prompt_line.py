from __future__ import annotations

from api.engine.budget.prompt_line import PromptLine


def test_prompts_are_read_within_three_steps() -> None:
    assert PromptLine((90,)).num_rows == 30
    assert PromptLine((90, 1)).num_rows == 31
    assert PromptLine(()).num_rows == 0


def test_a_late_line_is_emptied_in_ten_steps_but_for_long_prompts() -> None:
    assert PromptLine((100,) * 12).num_late_rows(most_of_one=50) == 120
    assert PromptLine((100, 8000)).num_late_rows(most_of_one=50) == 60
