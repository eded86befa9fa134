from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from api.engine.forward.kv.ring_places import ring_parts


@given(st.integers(0, 50), st.integers(1, 12), st.data())
def test_parts_of_a_ring_hold_the_positions_in_order(start: int, ring: int, data: st.DataObject) -> None:
    num_tokens = data.draw(st.integers(1, ring))
    parts = ring_parts(start, num_tokens, ring)
    places = [place for part in parts for place in range(part.start, part.stop)]
    assert places == [position % ring for position in range(start, start + num_tokens)]
    assert len(parts) <= 2
