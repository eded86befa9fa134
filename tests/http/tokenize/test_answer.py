from __future__ import annotations

from api.http.tokenize.answer import tokenize_answer
from tests.http.converting import SERVED


def test_the_answer_counts() -> None:
    assert tokenize_answer([5, 6], SERVED) == {"tokens": [5, 6], "count": 2, "max_model_len": 4096}
