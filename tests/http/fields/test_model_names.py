from __future__ import annotations

import pytest

from api.errors import InvalidRequestError, ModelNotFoundError
from api.http.fields.model_names import check_model_name
from tests.http.converting import SERVED

LONG = "x" * 2_000_000


def test_an_unknown_name_is_shown_as_far_as_it_helps() -> None:
    with pytest.raises(ModelNotFoundError) as caught:
        check_model_name(LONG, SERVED, accept_any_model=False)
    assert "served here: 'org/tiny', 'tiny', 'model'" in caught.value.message
    assert len(caught.value.message) < 400


def test_any_name_ends_somewhere_because_answers_repeat_it() -> None:
    check_model_name("gpt-4o", SERVED, accept_any_model=True)
    with pytest.raises(InvalidRequestError) as caught:
        check_model_name(LONG, SERVED, accept_any_model=True)
    assert caught.value.param == "model"
