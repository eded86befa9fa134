import pytest

from benchmarks.load import Answer
from benchmarks.prompts import story_prompts
from benchmarks.scenarios import longest_gap


@pytest.mark.parametrize(
    ("times", "ended", "gap"),
    [
        ([float(second) for second in range(14)], 0.0, 1.0),  # steady
        ([0.0, 9.0, 10.0, 11.0, 12.0], 0.0, 9.0),  # a gap that began before the window
        ([0.0, 1.0, 9.9, 20.0], 0.0, 10.1),  # one that ended after it
        ([0.0, 1.0, 4.0], 0.0, 8.0),  # still open when the window closed
        ([0.0, 1.0, 4.0], 4.5, 3.0),  # the stream had ended: nothing is owed
        ([0.0, 0.5], 1.0, 0.0),  # ended before the window
        ([], 0.0, 0.0),
    ],
)
def test_longest_gap_in_the_window(times: list[float], ended: float, gap: float) -> None:
    answer = Answer(started=0.0, token_times=times, ended=ended)
    assert longest_gap(answer, 2.0, 12.0) == pytest.approx(gap)


def test_prompts_differ_within_and_between_seeds() -> None:
    prompts = story_prompts(50, 95, seed=0) + story_prompts(50, 95, seed=1)
    assert len(set(prompts)) == 100
    assert len({len(prompt.split()) for prompt in prompts}) == 1
