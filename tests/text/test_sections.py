from __future__ import annotations

from api.text.sections import Markers, Section, SectionChange, SectionSplitter, SectionText
from api.text.token_fragments import Fragment

MARKERS: Markers = {
    Section.CONTENT: {"<a>": Section.REASONING, "x<a>y": Section.HEADER},
    Section.REASONING: {"</a>": Section.CONTENT},
}


def run(splitter: SectionSplitter, *pieces: str) -> list[list[tuple[str, str]]]:
    """Each piece's texts with their section, and its changes as ``-> section``."""
    events = [splitter.feed(Fragment(piece)) for piece in pieces] + [splitter.flush()]
    return [[_written(event) for event in each] for each in events]


def _written(event: SectionText | SectionChange) -> tuple[str, str]:
    text = "".join(fragment.text for fragment in event.fragments)
    return (event.section.name, text) if isinstance(event, SectionText) else (f"-> {event.new.name}", text)


def test_text_and_changes_in_order() -> None:
    splitter = SectionSplitter(MARKERS, Section.CONTENT, lambda target: True)
    assert run(splitter, "one<a", ">two</a>three") == [
        [("CONTENT", "one")],
        [("-> REASONING", "<a>"), ("REASONING", "two"), ("-> CONTENT", "</a>"), ("CONTENT", "three")],
        [],
    ]
    assert splitter.section is Section.CONTENT


def test_holds_back_only_what_may_begin_a_marker() -> None:
    splitter = SectionSplitter(MARKERS, Section.CONTENT, lambda target: True)
    assert run(splitter, "a <", "<", "b", "<") == [
        [("CONTENT", "a ")],
        [("CONTENT", "<")],
        [("CONTENT", "<b")],
        [],
        [("CONTENT", "<")],
    ]


def test_the_marker_that_began_first_wins() -> None:
    splitter = SectionSplitter(MARKERS, Section.CONTENT, lambda target: True)
    assert run(splitter, "x<a>", "y") == [[], [("-> HEADER", "x<a>y")], []]
    splitter = SectionSplitter(MARKERS, Section.CONTENT, lambda target: True)
    assert run(splitter, "x<a>", "z") == [
        [],
        [("CONTENT", "x"), ("-> REASONING", "<a>"), ("REASONING", "z")],
        [],
    ]


def test_a_marker_that_is_not_accepted_is_text() -> None:
    splitter = SectionSplitter(MARKERS, Section.CONTENT, lambda target: False)
    assert run(splitter, "a<a>b") == [[("CONTENT", "a"), ("CONTENT", "<"), ("CONTENT", "a>b")], []]


def test_the_marker_is_asked_for_after_the_text_before_it() -> None:
    seen: list[str] = []
    splitter = SectionSplitter(MARKERS, Section.CONTENT, lambda target: "'" not in "".join(seen))
    for event in splitter.feed(Fragment("'<a>")):
        seen.append(_written(event)[1])
    assert splitter.section is Section.CONTENT


def test_the_tokens_stay_with_their_text() -> None:
    splitter = SectionSplitter(MARKERS, Section.CONTENT, lambda target: True)
    (held,) = splitter.feed(Fragment("a<", 1))
    before, change = [*splitter.feed(Fragment("a>b", 2))]
    assert held.fragments == [Fragment("a", 1)]
    assert before.fragments == [Fragment("<"), Fragment("a>", 2)]
    assert change.fragments == [Fragment("b")]
