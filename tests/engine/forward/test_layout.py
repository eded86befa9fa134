from __future__ import annotations

import mlx.core as mx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from api.engine.forward.layout import ChunkRows, first_rows, make_layout
from api.step_plan import Slot, Span, StepPlan


def span(slot: Slot, start: int, num_tokens: int = 1, num_samples: int = 1) -> Span:
    return Span(slot.index, slot, start, (1,) * num_tokens, num_samples, 0)


def holds(index: int, last: int, ring: int) -> int | None:
    """The position at ``index`` of a ring that was written in order up to ``last``."""
    return max((p for p in range(last + 1) if p % ring == index), default=None)


def sees(row: int, position: int | None, window: int | None) -> bool:
    return position is not None and position <= row and (window is None or position > row - window)


def test_rows_positions_and_selected_rows_follow_the_spans() -> None:
    spans = (
        span(Slot(64, 0), 9),
        span(Slot(64, 2), 4, num_samples=0),
        span(Slot(64, 1), 10, 3, num_samples=0),
        span(Slot(256, 0), 0, 2),
    )
    layout = make_layout(StepPlan(spans=spans))
    assert layout.positions.tolist() == [9, 4, 10, 11, 12, 0, 1]
    assert layout.selected.tolist() == [0, 6]
    assert [(c.slot, c.start, c.rows) for c in layout.chunks] == [
        (Slot(64, 1), 10, slice(2, 5)),
        (Slot(256, 0), 0, slice(5, 7)),
    ]


def test_rows_and_wanted_logits_are_filled_up_to_the_multiple() -> None:
    spans = tuple(span(Slot(64, index), 7) for index in range(3))
    layout = make_layout(StepPlan(spans=spans), row_multiple=4)
    assert (layout.num_padding, layout.num_selected) == (1, 3)
    assert layout.positions.tolist() == [7, 7, 7, 0]
    assert layout.selected.tolist() == [0, 1, 2, 0]
    assert [group.rows for group in layout.groups] == [slice(0, 3)]


def test_two_rows_stay_two() -> None:
    layout = make_layout(StepPlan(spans=(span(Slot(64, 0), 7), span(Slot(64, 1), 3))), row_multiple=16)
    assert (layout.num_padding, layout.positions.tolist()) == (0, [7, 3])


def test_single_rows_are_grouped_by_class() -> None:
    spans = (span(Slot(64, 1), 40), span(Slot(64, 3), 5), span(Slot(256, 0), 70))
    small, large = make_layout(StepPlan(spans=spans)).groups
    assert (small.capacity, small.rows, small.num_slots) == (64, slice(0, 2), 4)
    assert (small.slots.tolist(), small.places.positions.tolist()) == ([1, 3], [40, 5])
    assert small.row_of_slot[mx.array([1, 3])].tolist() == [0, 1]
    assert (large.capacity, large.rows, large.num_slots) == (256, slice(2, 3), 1)
    assert (small.length(64), small.length(20), large.length(256)) == (64, 20, 71)
    assert (small.is_dense, large.is_dense) == (False, True)


def test_a_chunk_before_a_single_row_is_refused() -> None:
    with pytest.raises(ValueError, match="first"):
        make_layout(StepPlan(spans=(span(Slot(64, 0), 0, 2), span(Slot(64, 1), 0))))


@settings(max_examples=80, deadline=None)
@given(
    starts=st.lists(st.integers(0, 63), min_size=1, max_size=5),
    window=st.none() | st.integers(1, 20),
    extra=st.integers(0, 10),
)
def test_decode_rows_see_what_came_before_them(starts: list[int], window: int | None, extra: int) -> None:
    ring = 64 if window is None else min(64, window + extra)
    spans = tuple(span(Slot(64, i), start) for i, start in enumerate(starts))
    (group,) = make_layout(StepPlan(spans=spans)).groups
    length = group.length(ring)
    mask = group.mask(window, ring)
    visible = mx.ones((len(starts), 1, 1, length), dtype=mx.bool_) if mask is None else mask.visible()
    assert visible.shape == (len(starts), 1, 1, length)
    for row, start in enumerate(starts):
        wanted = [sees(start, holds(i, start, ring), window) for i in range(length)]
        assert visible[row, 0, 0].tolist() == wanted
        assert sum(wanted) == min(start + 1, window or start + 1)


@settings(max_examples=80, deadline=None)
@given(
    start=st.integers(0, 700),
    num_rows=st.integers(2, 300),
    window=st.none() | st.integers(1, 20) | st.integers(300, 900),
    extra=st.integers(0, 100),
)
def test_chunk_rows_see_what_came_before_them(
    start: int, num_rows: int, window: int | None, extra: int
) -> None:
    ring = 1000 if window is None else min(1000, window + num_rows + extra)
    tiles = ChunkRows(Slot(1000, 0), start, 0, num_rows).tiles(window, ring)
    assert [row for tile in tiles for row in range(num_rows)[tile.rows]] == list(range(num_rows))
    for tile in tiles:
        stored = [holds(i, start + num_rows - 1, ring) for part in tile.stored for i in range(ring)[part]]
        visible = tile.mask.visible()[0, 0].tolist()
        for row, seen in zip(range(start, start + num_rows)[tile.rows], visible, strict=True):
            assert [p for p, is_seen in zip(stored, seen, strict=True) if is_seen] == list(
                range(0 if window is None else max(0, row - window + 1), row + 1)
            )


def test_a_chunk_of_a_full_layer_is_one_causal_tile() -> None:
    chunk = ChunkRows(Slot(4096, 0), 1000, 0, 256)
    (tile,) = chunk.tiles(None, 4096)
    assert (tile.rows, tile.stored, tile.mask.is_causal) == (slice(0, 256), (slice(0, 1256),), True)
    assert chunk.tiles(2000, 4096)[0].mask.is_causal  # a window that is not full yet


def test_rows_of_a_short_window_attend_over_little_more_than_it() -> None:
    tiles = ChunkRows(Slot(100_000, 0), 50_000, 0, 2048).tiles(128, 4096)
    assert len(tiles) == 16
    assert max(sum(part.stop - part.start for part in tile.stored) for tile in tiles) == 255


def test_tiles_are_made_once_for_each_kind_of_layer() -> None:
    chunk = ChunkRows(Slot(4096, 0), 1000, 0, 256)
    assert chunk.tiles(None, 4096) is chunk.tiles(None, 4096)
    assert chunk.tiles(64, 512) is not chunk.tiles(None, 4096)


def test_a_sequences_first_row_is_behind_all_rows_before_it() -> None:
    spans = (span(Slot(64, 4), 9), span(Slot(64, 7), 10, 3), span(Slot(64, 2), 0, 2))
    assert first_rows(spans) == {4: 0, 7: 1, 2: 4}
