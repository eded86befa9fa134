from __future__ import annotations

import pytest

from api.observability.shortening import shortened


@pytest.mark.parametrize("value", ["", "x" * 2000, 5, None, {"a": "b" * 9000}, ["x"], ("y" * 99_000,)])
def test_what_is_short_or_no_text_stays(value: object) -> None:
    assert shortened(value) is value


@pytest.mark.parametrize("value", [{"a": "x" * 10_000}, ["x"] * 5_000, "x" * 2_001])
def test_what_is_long_becomes_a_short_text(value: object) -> None:
    short = shortened(value)
    assert isinstance(short, str)
    assert len(short) < 10_100
