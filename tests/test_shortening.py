from __future__ import annotations

from api.shortening import cut_middle


def test_beginning_and_end_are_kept_and_the_rest_is_counted() -> None:
    assert cut_middle("a" * 100 + "b" * 100, 30) == "a" * 20 + "… (170 characters cut) …" + "b" * 10


def test_what_is_short_enough_stays() -> None:
    assert cut_middle("a" * 30, 30) == "a" * 30
