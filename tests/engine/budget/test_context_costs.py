from __future__ import annotations

import random

import pytest

from api.engine.budget.context_costs import ContextCosts


def test_a_slope_is_found_exactly_where_there_is_no_noise() -> None:
    costs = ContextCosts()
    for off_context in (100, -50, 400, -30):
        costs.observe(off_context, off_context * 2e-6)
    assert costs.slope == pytest.approx(2e-6)


def test_small_differences_neither_say_nor_forget_anything() -> None:
    costs = ContextCosts()
    costs.observe(100, 1e-4)
    for _ in range(1000):
        costs.observe(5, 1.0)
    assert costs.slope == pytest.approx(1e-6)


def test_noise_has_no_slope_to_speak_of() -> None:
    source, slopes = random.Random(7), []
    for _ in range(50):
        costs = ContextCosts()
        for _ in range(100):
            costs.observe(source.uniform(-300, 300), source.uniform(-0.01, 0.01))
        slopes.append(costs.slope)
    assert sorted(slopes)[25] < 1e-6  # against 3e-5 where the noise were all due to the context
    assert max(slopes) < 1e-5


def test_rows_that_become_cheaper_with_context_are_not_believed() -> None:
    costs = ContextCosts()
    costs.observe(100, -1.0)
    assert costs.slope == 0.0
