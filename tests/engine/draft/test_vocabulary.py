from __future__ import annotations

import pytest

from api.engine.draft.vocabulary import num_shared_tokens
from api.errors import StartupError


@pytest.mark.parametrize(
    ("served", "draft", "num_shared"),
    [
        (["a", "b"], ["a", "b"], 2),
        (["a", "b", "<think>"], ["a", "b"], 2),
        (["a", "b"], ["a", "b", "c", "d"], 2),
        (["a", "", "c"], ["a", "b", "c"], 3),  # an id that one of them never says
    ],
)
def test_ids_that_mean_the_same_to_both_are_shared(
    served: list[str], draft: list[str], num_shared: int
) -> None:
    assert num_shared_tokens(served, draft, "small") == num_shared


def test_a_token_that_differs_is_named() -> None:
    with pytest.raises(StartupError, match=r"small has another vocabulary: its token 1 is 'x', not 'b'"):
        num_shared_tokens(["a", "b", "c"], ["a", "x", "c"], "small")
