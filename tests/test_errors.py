from __future__ import annotations

from api.errors import InvalidRequestError, ModelNotFoundError


def test_a_client_cannot_decide_how_long_a_message_is() -> None:
    name = "x" * 2_000_000
    error = ModelNotFoundError(f"The model {name!r} does not exist; served here: 'model'.", param=name)
    assert len(error.message) < 1_100
    assert error.message.startswith("The model 'xxx")
    assert error.message.endswith("does not exist; served here: 'model'.")
    assert str(error) == error.message
    assert error.param is not None
    assert len(error.param) < 300


def test_a_usual_message_stays() -> None:
    error = InvalidRequestError("Invalid 'n': 0.", param="n")
    assert (error.message, error.param) == ("Invalid 'n': 0.", "n")
