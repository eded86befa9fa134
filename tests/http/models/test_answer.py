from __future__ import annotations

from dataclasses import replace

from api.http.models.answer import model_object
from api.types import SamplingDefaults
from tests.http.converting import SERVED


def test_the_folders_sampling_is_shown() -> None:
    served = replace(SERVED, sampling_defaults=SamplingDefaults(temperature=0.6, max_tokens=9))
    assert model_object("tiny", served)["sampling_defaults"] == {"temperature": 0.6, "max_tokens": 9}
