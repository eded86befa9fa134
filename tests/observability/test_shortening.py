from __future__ import annotations

import pytest

from api.observability.shortening import cut_middle, shortened


def test_beginning_and_end_are_kept_and_the_rest_is_counted() -> None:
    assert cut_middle("a" * 100 + "b" * 100, 30) == "a" * 20 + "… (170 characters cut) …" + "b" * 10


@pytest.mark.parametrize("value", ["", "x" * 30, 5, None, {"a": "b"}, ["x"], ("y" * 99,)])
def test_what_is_short_or_no_text_stays(value: object) -> None:
    assert shortened(value, 30) is value


@pytest.mark.parametrize("value", [{"a": "x" * 100}, ["x"] * 100, "x" * 100])
def test_what_is_long_becomes_a_short_text(value: object) -> None:
    short = shortened(value, 30)
    assert isinstance(short, str)
    assert len(short) < 60
