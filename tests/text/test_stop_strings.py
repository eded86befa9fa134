from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.text.stop_strings import StopStrings

# Few letters, so that stops overlap each other and themselves.
stop_lists = st.lists(st.text("abc", min_size=1, max_size=5), max_size=4).map(tuple)
piece_lists = st.lists(st.text("abc", max_size=5), max_size=12)


def run(stops: tuple[str, ...], pieces: list[str], *, includes_stop: bool = False) -> tuple[str, bool]:
    """Pieces in angle brackets are special tokens' names."""
    stage = StopStrings(stops, includes_stop=includes_stop)
    passed = [stage.feed(piece, is_hidden=is_name(piece)) for piece in pieces]
    text = "".join(each.text for each in [*passed, stage.flush()])
    return text, stage.is_stopped


def is_name(piece: str) -> bool:
    return len(piece) > 2 and piece[0] == "<" and piece[-1] == ">"


def fed(stage: StopStrings, piece: str) -> str:
    return stage.feed(piece).text


def reference(stops: tuple[str, ...], text: str) -> tuple[str, bool]:
    starts = [text.find(stop) for stop in stops if stop in text]
    return (text[: min(starts)], True) if starts else (text, False)


@given(stops=stop_lists, pieces=piece_lists)
def test_cuts_at_the_first_occurrence(stops: tuple[str, ...], pieces: list[str]) -> None:
    assert run(stops, pieces) == reference(stops, "".join(pieces))


@given(stops=stop_lists, pieces=piece_lists)
def test_holds_back_only_what_may_begin_a_stop(stops: tuple[str, ...], pieces: list[str]) -> None:
    stage, text, shown = StopStrings(stops), "", ""
    for piece in pieces:
        text, shown = text + piece, shown + fed(stage, piece)
        if stage.is_stopped or any(stop in text for stop in stops):
            break
        prefixes = {stop[:n] for stop in stops for n in range(len(stop))} | {""}
        assert len(text) - len(shown) == max(len(prefix) for prefix in prefixes if text.endswith(prefix))
    assert reference(stops, text)[0].startswith(shown)


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
    text, has_stopped = run(stops, pieces, includes_stop=True)
    before, is_stopped = run(stops, pieces)
    assert has_stopped == is_stopped
    assert text.removeprefix(before) in (stops if is_stopped else ("",))
    assert "".join(pieces).startswith(text)


def test_no_stops_pass_straight_through() -> None:
    stage = StopStrings(())
    assert [fed(stage, "one"), fed(stage, ""), fed(stage, "two"), stage.flush().text] == [
        "one",
        "",
        "two",
        "",
    ]
    assert not stage.is_stopped


def test_nothing_comes_after_a_stop() -> None:
    stage = StopStrings(("b",))
    assert [fed(stage, "abc"), fed(stage, "more"), stage.flush().text, stage.flush().text] == [
        "a",
        "",
        "",
        "",
    ]


def test_an_unfinished_stop_is_text() -> None:
    stage = StopStrings(("stop!",))
    assert [fed(stage, "do not sto"), fed(stage, "p"), stage.flush().text] == ["do not ", "", "stop"]
    assert not stage.is_stopped


@pytest.mark.parametrize(
    ("stops", "pieces", "text", "is_stopped"),
    [
        (("<s>",), ["a", "<s>", "b"], "a", True),
        (("\n<s>user",), ["a\n", "<s>", "us", "er"], "a", True),
        (("b<s>",), ["a", "b", "<s>"], "a", True),
        (("<s><e>",), ["a", "<s>", "<e>"], "a", True),
        (("<s>user",), ["a", "<s>", "b"], "ab", False),  # hidden, as no stop follows
        (("<s>user",), ["a", "<s>", "us"], "aus", False),
        (("<s>user",), ["a<", "s>user"], "a", True),  # spelled in letters
        (("s>",), ["a", "<s>", "b"], "ab", False),  # nobody sees that it ends there
        (("<s",), ["a", "<s>", "b"], "ab", False),
        (("s",), ["<s>", "<s>", "as"], "a", True),
        ((">x",), ["<s>", "x"], "x", False),
        (("<s>x", "y"), ["<s>", "<s>", "xy"], "", True),
    ],
)
def test_names_of_special_tokens_are_hidden_and_may_be_a_stop(
    stops: tuple[str, ...], pieces: list[str], text: str, is_stopped: bool
) -> None:
    assert run(stops, pieces) == (text, is_stopped)


def test_a_stop_that_stays_shows_its_names() -> None:
    assert run(("b<s>c",), ["<s>", "ab", "<s>", "c"], includes_stop=True) == ("ab<s>c", True)


@given(
    stops=st.lists(st.lists(st.sampled_from(["a", "b", "<s>", "<"]), min_size=1, max_size=4), max_size=3),
    pieces=st.lists(st.sampled_from(["a", "b", "<s>", "<", "ab"]), max_size=12),
)
def test_hidden_names_match_as_wholes(stops: list[list[str]], pieces: list[str]) -> None:
    """Each name is a character of its own here, which spells nothing."""
    wanted = tuple({"".join(stop).replace("<s>", "S") for stop in stops})
    expected = reference(wanted, "".join(pieces).replace("<s>", "S"))
    found = run(tuple("".join(stop) for stop in stops), pieces)
    assert found == (expected[0].replace("S", ""), expected[1])


def test_only_the_names_in_a_stop_string_matter() -> None:
    stage = StopStrings(("\n<s>user",))
    assert (stage.has_part("<s>"), stage.has_part("<e>")) == (True, False)


def test_time_does_not_grow_with_the_stop_string() -> None:
    started = time.process_time()
    run(("a" * 5000 + "b",), ["a"] * 20_000)  # comparing at each position would take 10**8 steps
    assert time.process_time() - started < 2.0
