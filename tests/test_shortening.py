from __future__ import annotations

import pytest

from api.shortening import cut_log_value, cut_middle


def test_beginning_and_end_are_kept_and_the_rest_is_counted() -> None:
    assert cut_middle("a" * 100 + "b" * 100, 30) == "a" * 20 + "… (170 characters cut) …" + "b" * 10


def test_what_is_short_enough_stays() -> None:
    assert cut_middle("a" * 30, 30) == "a" * 30


@pytest.mark.parametrize("value", ["", "x" * 2000, 5, None, {"a": "b" * 9000}, ["x"], ("y" * 99_000,)])
def test_what_is_short_or_no_text_stays_in_a_log_line(value: object) -> None:
    assert cut_log_value(value) is value


@pytest.mark.parametrize("value", [{"a": "x" * 10_000}, ["x"] * 5_000, "x" * 2_001])
def test_what_is_long_becomes_a_short_text_in_a_log_line(value: object) -> None:
    short = cut_log_value(value)
    assert isinstance(short, str)
    assert len(short) < 10_100
