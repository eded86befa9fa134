from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from api.engine.sampling.token_counts import TokenCounts


@given(st.lists(st.tuples(st.integers(0, 200), st.booleans()), max_size=400))
def test_distinct_tokens_in_order_and_their_number_in_the_answer(seen: list[tuple[int, bool]]) -> None:
    counts = TokenCounts()
    for token_id, is_answer in seen:
        counts.add(token_id, is_answer=is_answer)
    in_answer = Counter(token_id for token_id, is_answer in seen if is_answer)
    distinct = list(dict.fromkeys(token_id for token_id, _ in seen))
    assert counts.token_ids.tolist() == distinct
    assert counts.answer_counts.tolist() == [in_answer[token_id] for token_id in distinct]
