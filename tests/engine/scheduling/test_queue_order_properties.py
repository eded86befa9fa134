"""Whatever comes and in whatever order: nobody is lost, and shares are equal."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tests.engine.queue_line import Line

arrivals = st.tuples(
    st.sampled_from("abc"), st.integers(1, 400), st.integers(-2, 2), st.sampled_from((0.0, 0.1, 40.0))
)
operations = st.lists(st.one_of(arrivals, st.none()), min_size=1, max_size=60)


@given(operations)
def test_nobody_is_lost_and_everybody_is_served(steps: list[tuple[str, int, int, float] | None]) -> None:
    """None: the first one is served."""
    line = Line()
    added: set[int] = set()
    served: list[int] = []
    for step in steps:
        if step is not None:
            client_id, num_prompt_tokens, priority, wait_seconds = step
            added.add(line.add(client_id, num_prompt_tokens, priority).sequence_id)
            line.clock.now += wait_seconds
        elif line.waiting:
            served.append(line.serve_next().sequence_id)
        ids = [sequence.sequence_id for sequence in line.sorted()]
        assert sorted(ids) == sorted(sequence.sequence_id for sequence in line.waiting)
    while line.waiting:
        served.append(line.serve_next().sequence_id)
    assert sorted(served) == sorted(added)
    assert line.order.num_clients <= 3


@given(st.lists(st.tuples(st.integers(1, 300), st.integers(1, 300)), min_size=60, max_size=60))
def test_two_clients_that_always_wait_get_the_same(lengths: list[tuple[int, int]]) -> None:
    """Within one request of each: as far apart as the paper's bound lets them be."""
    line = Line()
    for left, right in lengths:
        line.add("a", left)
        line.add("b", right)
    got = {"a": 0, "b": 0}
    while len({sequence.client_id for sequence in line.waiting}) == 2:
        sequence = line.serve_next()
        got[sequence.client_id] += sequence.num_prompt_tokens + 2 * sequence.max_tokens
        assert abs(got["a"] - got["b"]) <= 300 + 2 * 10
