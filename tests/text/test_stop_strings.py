from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.text.stop_strings import StopStrings

# Few letters, so that stops overlap each other and themselves.
stop_lists = st.lists(st.text("abc", min_size=1, max_size=5), max_size=4).map(tuple)
piece_lists = st.lists(st.text("abc", max_size=5), max_size=12)


def run(stops: tuple[str, ...], pieces: list[str]) -> tuple[str, bool]:
    stage = StopStrings(stops)
    text = "".join(map(stage.feed, pieces)) + stage.flush()
    return text, stage.is_stopped


def reference(stops: tuple[str, ...], text: str) -> tuple[str, bool]:
    starts = [text.find(stop) for stop in stops if stop in text]
    return (text[: min(starts)], True) if starts else (text, False)


@given(stops=stop_lists, pieces=piece_lists)
def test_cuts_at_the_first_occurrence(stops: tuple[str, ...], pieces: list[str]) -> None:
    assert run(stops, pieces) == reference(stops, "".join(pieces))


@given(stops=stop_lists, pieces=piece_lists)
def test_holds_back_only_what_may_begin_a_stop(stops: tuple[str, ...], pieces: list[str]) -> None:
    stage, fed, shown = StopStrings(stops), "", ""
    for piece in pieces:
        fed, shown = fed + piece, shown + stage.feed(piece)
        if stage.is_stopped or any(stop in fed for stop in stops):
            break
        prefixes = {stop[:n] for stop in stops for n in range(len(stop))} | {""}
        assert len(fed) - len(shown) == max(len(prefix) for prefix in prefixes if fed.endswith(prefix))
    assert reference(stops, fed)[0].startswith(shown)


@pytest.mark.parametrize(
    ("stops", "pieces", "text"),
    [
        (("\n\n",), ["one\n", "\ntwo"], "one"),
        (("END",), ["x E", "N", "D y"], "x "),
        (("</s>",), ["a </", "b> </s", ">"], "a </b> "),
        (("aab",), ["aaab"], "a"),
        (("\N{LLAMA}",), ["so \N{LLAMA} far"], "so "),
        (("bc", "abcd"), ["xabc", "d"], "x"),  # the earlier start wins, though it completes later
        (("bc", "abcd"), ["xabc", "e"], "xa"),
        (("bc", "abcd"), ["xabc"], "xa"),
        (("abc", "ab"), ["xab"], "x"),
        (("", "b"), ["abc"], "a"),
    ],
)
def test_examples(stops: tuple[str, ...], pieces: list[str], text: str) -> None:
    assert run(stops, pieces) == (text, True)


@given(stops=stop_lists, pieces=piece_lists)
def test_the_stop_string_may_stay(stops: tuple[str, ...], pieces: list[str]) -> None:
    stage = StopStrings(stops, includes_stop=True)
    text = "".join(map(stage.feed, pieces)) + stage.flush()
    before, is_stopped = run(stops, pieces)
    assert stage.is_stopped == is_stopped
    assert text.removeprefix(before) in (stops if is_stopped else ("",))
    assert "".join(pieces).startswith(text)


def test_no_stops_pass_straight_through() -> None:
    stage = StopStrings(())
    assert [stage.feed("one"), stage.feed(""), stage.feed("two"), stage.flush()] == ["one", "", "two", ""]
    assert not stage.is_stopped


def test_nothing_comes_after_a_stop() -> None:
    stage = StopStrings(("b",))
    assert [stage.feed("abc"), stage.feed("more"), stage.flush(), stage.flush()] == ["a", "", "", ""]


def test_an_unfinished_stop_is_text() -> None:
    stage = StopStrings(("stop!",))
    assert [stage.feed("do not sto"), stage.feed("p"), stage.flush()] == ["do not ", "", "stop"]
    assert not stage.is_stopped


def test_time_does_not_grow_with_the_stop_string() -> None:
    started = time.process_time()
    run(("a" * 5000 + "b",), ["a"] * 20_000)  # comparing at each position would take 10**8 steps
    assert time.process_time() - started < 2.0
