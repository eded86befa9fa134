from __future__ import annotations

import difflib
from dataclasses import dataclass, field
from typing import Any

from benchmarks.predicted_outputs import Timing, edit_case, edited, library_file, prose_case, run
from tests.engine.factories import create_loop, create_sequence


def test_the_file_has_300_lines_and_the_edit_leaves_most_of_it() -> None:
    file = library_file(300)
    assert len(file.splitlines()) == 300
    diff = list(difflib.ndiff(file.splitlines(), edited(file).splitlines()))
    kept, removed = (sum(line.startswith(mark) for line in diff) for mark in ("  ", "- "))
    assert 25 <= removed <= 36 and kept + removed == 300
    assert len(edited(file).splitlines()) == 301


def test_the_cases_say_what_is_predicted() -> None:
    edit, prose = edit_case(300), prose_case(300)
    assert edit.prediction in edit.wish and edit.answer == edited(edit.prediction)
    assert prose.prediction == edit.prediction and prose.answer not in prose.prediction
    assert (edit.at_least, prose.at_least) == (4.0, 0.95)


@dataclass
class FakeEngine:
    """The scheduler with a model that says something else than what is given."""

    loop: Any = field(default_factory=create_loop)

    @property
    def scheduler(self) -> Any:
        return self.loop.scheduler

    @property
    def generator(self) -> Any:
        return self.loop.generator


def test_the_scheduler_sees_the_tokens_that_are_given() -> None:
    engine, answer = FakeEngine(), [900 + i for i in range(20)]
    sequence = create_sequence(max_tokens=20)
    engine.scheduler.add(sequence)
    engine.generator.add(sequence.sequence_id, sequence.sampling)
    timing = Timing()
    run(engine, sequence, answer, 1, Timing())
    run(engine, sequence, answer, 20, timing)
    assert sequence.token_ids[5:] == answer
    assert timing.num_tokens == 19 and timing.num_steps >= 18 and timing.rate > 0
