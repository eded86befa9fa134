from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from api.http.chat_completions.request import parse_chat_completion, to_generation_request
from api.server_handler import ServedModel
from api.types import GenerationRequest

USER = {"role": "user", "content": "hi"}
SERVED = ServedModel(("org/tiny", "tiny", "model"), 1700000000, 4096, "fp_0123456789ab", 1000)

Convert = Callable[..., GenerationRequest]


@pytest.fixture
def convert() -> Convert:
    """A chat body with these fields, all the way to the engine's request."""

    def run(**fields: Any) -> GenerationRequest:
        body = parse_chat_completion({"model": "model", "messages": [USER], **fields}, SERVED, False)
        return to_generation_request(body, SERVED)

    return run
