from __future__ import annotations

from dataclasses import replace
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.http.transport import json_structure
from api.http.transport.json_structure import JsonLimits, structure_of
from tests.fakes.server_handler import FakeServerHandler

TEXTS = st.text(alphabet='\\"{}[]:,aé\n') | st.text()
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=30,
)


def count(value: Any) -> list[int]:
    """Containers, keys and strings."""
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    num_keys = len(value) if isinstance(value, dict) else 0
    own = [isinstance(value, dict | list), num_keys, num_keys + isinstance(value, str)]
    return [sum(numbers) for numbers in zip(own, *map(count, inner), strict=True)]


@given(VALUES, st.integers(1, 9))
def test_what_is_counted_is_there(value: Any, window_bytes: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_structure, "_WINDOW_BYTES", window_bytes)
        structure = structure_of(orjson.dumps(value))
    assert [structure.num_containers, structure.num_keys, structure.num_strings] == count(value)


def test_an_array_has_as_many_values_as_elements() -> None:
    assert structure_of(b"[" + b"1, " * 99 + b"1]").num_values == 100


def test_limits_leave_room_for_what_a_long_context_needs() -> None:
    served = replace(FakeServerHandler().served_model, context_length=131_072, vocab_size=262_144)
    limits = JsonLimits.of(served)
    limits.check(structure_of(orjson.dumps({"prompt": [1] * 1_000_000})))
    limits.check(structure_of(orjson.dumps({"logit_bias": {str(i): 1 for i in range(262_144)}})))
    message = {"role": "user", "content": [{"type": "text", "text": "a, b: [c]"}]}
    limits.check(structure_of(orjson.dumps({"messages": [message] * 25_000})))
