from __future__ import annotations

from dataclasses import replace

import pytest

from api.errors import InvalidRequestError, ModelNotFoundError
from api.http.fields.model_names import check_model_name, model_object
from api.types import SamplingDefaults
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


def test_the_folders_sampling_is_shown() -> None:
    served = replace(SERVED, sampling_defaults=SamplingDefaults(temperature=0.6, max_tokens=9))
    assert model_object("tiny", served)["sampling_defaults"] == {"temperature": 0.6, "max_tokens": 9}
