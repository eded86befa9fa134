"""Which rows of a flat step belong together: index arrays made once and used by every layer."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

import mlx.core as mx

from api.engine.device.row_sizes import padded_rows
from api.engine.forward.attention.mask import AttentionMask
from api.engine.forward.kv.ring_places import RowPlaces, ring_parts
from api.step_plan import Slot, Span, StepPlan

# Decode rows of a class attend over its longest live row, rounded up to this many tokens: shapes change
# seldom, and matrix products like round sizes.
_LENGTH_STEP = 32
# A chunk of a layer with a window is cut into tiles, so that its rows do not attend over a whole chunk for
# the sake of a short window. A tile has this many rows at least, or this part of a window.
_FEWEST_TILE_ROWS = 128
_TILES_PER_WINDOW = 4


MaskKey = tuple[int | None, int]  # window and ring length


@dataclass(slots=True)
class DecodeGroup:
    """The single-token rows of one class. Its attention runs over slots ``0 .. num_slots - 1`` as they
    lie, so no KV is gathered: queries are put in slot order, and a slot without a row is computed in vain.
    """

    capacity: int
    first_row: int
    num_rows: int
    num_slots: int
    longest: int  # tokens of the longest row, rounded up where there is a mask
    is_masked: bool  # not all rows see all that they attend over
    is_dense: bool  # row i has slot i, so nothing needs to be put in order
    slots: mx.array  # [num_rows]
    places: RowPlaces
    row_of_slot: mx.array  # [num_slots]: the row (in the group) that a slot's queries come from
    last_of_slot: mx.array  # [num_slots]: the position a slot's row is at
    _masks: dict[MaskKey, AttentionMask] = field(default_factory=dict, init=False)

    @property
    def rows(self) -> slice:
        return slice(self.first_row, self.first_row + self.num_rows)

    def length(self, ring: int) -> int:
        """Tokens of each slot that are attended over."""
        return min(ring, self.longest)

    def mask(self, window: int | None, ring: int) -> AttentionMask | None:
        """What the rows see of ``length(ring)`` tokens of each slot; made once for each kind of layer.

        None where the only row sees all that it attends over.
        """
        if not self.is_masked and self.longest <= min(ring, window or ring):
            return None
        key = (window, ring)
        if key not in self._masks:
            self._masks[key] = AttentionMask(1, self.length(ring), lambda: self._visible(window, ring))
        return self._masks[key]

    @property
    def shape(self) -> tuple[int | bool, ...]:
        """What two groups have in common that differ in their arrays alone."""
        return (
            self.capacity,
            self.first_row,
            self.num_rows,
            self.num_slots,
            self.longest,
            self.is_masked,
            self.is_dense,
        )

    def arrays(self) -> list[mx.array]:
        return [self.slots, self.places.positions, self.row_of_slot, self.last_of_slot]

    def with_arrays(self, arrays: list[mx.array]) -> DecodeGroup:
        """A group of the same shape."""
        slots, positions, row_of_slot, last_of_slot = arrays
        places = RowPlaces(slots, positions)
        return replace(self, slots=slots, places=places, row_of_slot=row_of_slot, last_of_slot=last_of_slot)

    def _visible(self, window: int | None, ring: int) -> mx.array:
        last = self.last_of_slot[:, None]
        stored = _stored_positions(last, mx.arange(self.length(ring))[None], ring)
        return _visible(stored, last, window)[:, None, None]


@dataclass(frozen=True, slots=True)
class ChunkTile:
    """Some rows of a chunk, and what they attend over: enough of the slot for each of them."""

    rows: slice  # of the chunk's
    stored: tuple[slice, ...]  # parts of the slot, one behind another in the order of positions
    mask: AttentionMask


@dataclass(slots=True)
class ChunkRows:
    """The rows of one prompt chunk."""

    slot: Slot
    start: int
    first_row: int
    num_rows: int
    _tiles: dict[MaskKey, list[ChunkTile]] = field(default_factory=dict)

    @property
    def rows(self) -> slice:
        return slice(self.first_row, self.first_row + self.num_rows)

    @property
    def end(self) -> int:
        return self.start + self.num_rows

    def tiles(self, window: int | None, ring: int) -> list[ChunkTile]:
        """Covers the rows in order, for a slot that they are written to; made once for each kind of layer."""
        key = (window, ring)
        if key not in self._tiles:
            size = max(_FEWEST_TILE_ROWS, (window or self.end) // _TILES_PER_WINDOW)
            size = self.num_rows if self._sees_all(window) else size
            firsts = range(self.start, self.end, size)
            self._tiles[key] = [self._tile(a, min(a + size, self.end), window, ring) for a in firsts]
        return self._tiles[key]

    def _sees_all(self, window: int | None) -> bool:
        return window is None or window >= self.end

    def _tile(self, first: int, end: int, window: int | None, ring: int) -> ChunkTile:
        oldest = 0 if window is None else max(0, first - window + 1)

        def visible() -> mx.array:
            rows = mx.arange(first, end)[:, None]
            return _visible(mx.arange(oldest, end)[None], rows, window)[None, None]

        mask = AttentionMask(end - first, end - oldest, None if self._sees_all(window) else visible)
        stored = ring_parts(oldest, end - oldest, ring)
        return ChunkTile(slice(first - self.start, end - self.start), stored, mask)


@dataclass(slots=True)
class StepLayout:
    """A plan's rows: decode groups first, then the chunks, in the order of the spans."""

    positions: mx.array  # [rows, those of the padding included]
    groups: list[DecodeGroup]
    chunks: list[ChunkRows]
    selected: mx.array  # [rows that need logits], filled up with the first row
    num_selected: int  # how many of them are wanted
    num_padding: int  # rows of no sequence behind all others

    @property
    def shape(self) -> tuple[object, ...]:
        """What two steps of single rows have in common that differ in their arrays alone."""
        groups = tuple(group.shape for group in self.groups)
        return (groups, self.selected.shape[0], self.num_selected, self.num_padding)

    def arrays(self) -> list[mx.array]:
        """All of a step of single rows."""
        return [self.positions, self.selected, *(array for group in self.groups for array in group.arrays())]

    def with_arrays(self, arrays: list[mx.array]) -> StepLayout:
        """A step of single rows of the same shape."""
        positions, selected, *rest = arrays
        size = len(rest) // max(1, len(self.groups))
        groups = [g.with_arrays(rest[i * size : (i + 1) * size]) for i, g in enumerate(self.groups)]
        return replace(self, positions=positions, selected=selected, groups=groups)


def make_layout(plan: StepPlan, row_multiple: int = 1, is_rounded: bool = False) -> StepLayout:
    """``row_multiple``: rows, and rows that need logits, are filled up to a multiple of this.

    ``is_rounded``: single rows attend over a round number of tokens also where they are alone, so that
    shapes change seldom.
    Raises ValueError where the spans are not in the order that ``StepPlan`` promises.
    """
    singles = [span for span in plan.spans if span.num_tokens == 1]
    if any(span.num_tokens != 1 for span in plan.spans[: len(singles)]):
        raise ValueError("single-token spans must come first")
    chunks, row = [], len(singles)
    for span in plan.spans[len(singles) :]:
        chunks.append(ChunkRows(span.slot, span.start, row, span.num_tokens))
        row += span.num_tokens
    positions, selected = _positions(plan.spans), _selected(plan.spans)
    num_padding = padded_rows(row, row_multiple) - row
    return StepLayout(
        positions=mx.array(positions + [0] * num_padding, dtype=mx.int32),
        groups=_groups(singles, is_rounded),
        chunks=chunks,
        selected=mx.array(_filled(selected, row_multiple), dtype=mx.int32),
        num_selected=len(selected),
        num_padding=num_padding,
    )


def first_rows(spans: Iterable[Span]) -> dict[int, int]:
    """Each sequence's first row in the step, by its id."""
    first, row = {}, 0
    for span in spans:
        first[span.sequence_id] = row
        row += span.num_tokens
    return first


def _filled(rows: list[int], row_multiple: int) -> list[int]:
    return rows + [0] * (padded_rows(len(rows), row_multiple) - len(rows))


def _positions(spans: tuple[Span, ...]) -> list[int]:
    return [p for s in spans for p in range(s.start, s.start + s.num_tokens)]


def _selected(spans: tuple[Span, ...]) -> list[int]:
    """The last ``num_logits`` rows of each span."""
    rows: list[int] = []
    end = 0
    for span in spans:
        end += span.num_tokens
        rows += range(end - span.num_logits, end)
    return rows


def _groups(singles: list[Span], is_rounded: bool) -> list[DecodeGroup]:
    groups, first = [], 0
    while first < len(singles):
        capacity = singles[first].slot.capacity
        last = first
        while last < len(singles) and singles[last].slot.capacity == capacity:
            last += 1
        groups.append(_group(singles[first:last], first, is_rounded))
        first = last
    return groups


def _group(spans: list[Span], first_row: int, is_rounded: bool) -> DecodeGroup:
    capacity = spans[0].slot.capacity
    num_slots = 1 + max(span.slot.index for span in spans)
    row_of_slot, last_of_slot = [0] * num_slots, [0] * num_slots
    for row, span in enumerate(spans):
        row_of_slot[span.slot.index] = row
        last_of_slot[span.slot.index] = span.start
    longest = 1 + max(span.start for span in spans)
    is_masked = is_rounded or num_slots > 1
    if is_masked:
        longest = -(-longest // _LENGTH_STEP) * _LENGTH_STEP
    slots = mx.array([span.slot.index for span in spans], dtype=mx.int32)
    return DecodeGroup(
        capacity=capacity,
        first_row=first_row,
        num_rows=len(spans),
        num_slots=num_slots,
        longest=longest,
        is_masked=is_masked,
        is_dense=all(span.slot.index == row for row, span in enumerate(spans)),
        slots=slots,
        places=RowPlaces(slots, mx.array([span.start for span in spans], dtype=mx.int32)),
        row_of_slot=mx.array(row_of_slot, dtype=mx.int32),
        last_of_slot=mx.array(last_of_slot, dtype=mx.int32),
    )


def _stored_positions(last: mx.array, index: mx.array, ring: int) -> mx.array:
    """The position that lies at ``index`` of a ring written up to position ``last``; negative: none yet."""
    return last - (last - index) % ring


def _visible(stored: mx.array, rows: mx.array, window: int | None) -> mx.array:
    """Which stored positions the rows at positions ``rows`` see: not later, and within the window."""
    visible = (stored >= 0) & (stored <= rows)
    return visible if window is None else visible & (stored > rows - window)
