from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.events import TokenLogprob
from api.text.token_fragments import Fragment
from api.text.trimming import EdgeTrimmer


def run(trimmer: EdgeTrimmer, pieces: list[str]) -> list[str]:
    return ["".join(each.text for each in trimmer.feed(Fragment(piece))) for piece in pieces]


@pytest.mark.parametrize(
    ("options", "pieces", "passed", "rest"),
    [
        ({}, ["\n", " a ", "\n"], ["\n", " a ", "\n"], ""),
        ({"trims_start": True}, ["\n ", "\n", "  a", "\n"], ["", "", "  a", "\n"], ""),
        ({"trims_start": True}, [" a"], [" a"], ""),
        ({"trims_start": True}, ["\n", " "], ["", ""], ""),
        ({"holds_end": True}, ["a \n", "\n", "b", "\n"], ["a", "", " \n\nb", ""], "\n"),
        ({"holds_end": True}, ["\n", "a"], ["", "\na"], ""),
    ],
)
def test_examples(options: dict[str, bool], pieces: list[str], passed: list[str], rest: str) -> None:
    defaults: dict[str, Any] = {"trims_start": False, "holds_end": False}
    trimmer = EdgeTrimmer(**(defaults | options))
    assert run(trimmer, pieces) == passed
    assert "".join(each.text for each in trimmer.flush()) == rest


def test_a_marker_takes_the_whitespace_beside_it() -> None:
    trimmer = EdgeTrimmer(trims_start=False, holds_end=True)
    assert run(trimmer, ["a\n"]) == ["a"]
    trimmer.restart()
    assert run(trimmer, ["\n", "b"]) == ["", "b"]


@given(
    pieces=st.lists(st.text(" \na", max_size=4), max_size=8),
    trims_start=st.booleans(),
    holds_end=st.booleans(),
)
def test_however_the_text_is_cut(pieces: list[str], trims_start: bool, holds_end: bool) -> None:
    def whole(parts: list[str]) -> str:
        trimmer = EdgeTrimmer(trims_start=trims_start, holds_end=holds_end)
        return "".join([*run(trimmer, parts), *(each.text for each in trimmer.flush())])

    text = "".join(pieces)
    assert whole(pieces) == whole([text])
    assert whole(pieces) == text or (trims_start and text.endswith(whole(pieces)))


def test_textless_tokens_stay_in_line() -> None:
    trimmer = EdgeTrimmer(trims_start=False, holds_end=True)
    logprob = TokenLogprob("x", b"x", -1.0)
    assert trimmer.feed(Fragment("a ", 1)) == [Fragment("a", 1)]
    assert trimmer.feed(Fragment("", 1, (logprob,))) == []
    assert trimmer.feed(Fragment("b", 1)) == [Fragment(" "), Fragment("", 1, (logprob,)), Fragment("b", 1)]
