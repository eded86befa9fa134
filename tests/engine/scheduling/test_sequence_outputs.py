from __future__ import annotations

import pytest

from api.engine.scheduling.sequence_outputs import as_api_error, token_output
from api.errors import InvalidRequestError, OutOfMemoryError, ServerSideError
from api.step_plan import SampledToken
from tests.engine.factories import create_sequence


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError("[malloc] Unable to allocate 17179869184 bytes."),
        RuntimeError(
            "[metal::malloc] Attempting to allocate 9 bytes which is greater than the maximum allowed"
        ),
        RuntimeError("[METAL] Command buffer execution failed: Insufficient Memory (00000008)"),
        RuntimeError("cudaMallocAsync failed: out of memory"),
    ],
)
def test_what_a_device_says_when_memory_is_short_can_be_tried_again(error: Exception) -> None:
    assert isinstance(as_api_error(error), OutOfMemoryError)


def test_any_other_error_is_the_servers() -> None:
    for error in (RuntimeError("[matmul] shapes"), ValueError("out of memory")):
        assert type(as_api_error(error)) is ServerSideError
    refused = InvalidRequestError("no")
    assert as_api_error(refused) is refused


def test_a_token_tells_when_its_choice_was_admitted() -> None:
    sequence = create_sequence(7)
    sequence.first_admitted_seconds = 4.5
    assert token_output(sequence, SampledToken(7, 1)).admitted_seconds == 4.5
