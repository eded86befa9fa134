"""Which model names a client may use."""

from __future__ import annotations

from api.errors import InvalidRequestError, ModelNotFoundError
from api.server_handler import ServedModel
from api.shortening import cut_middle

_MAX_NAME_CHARS = 512  # paths and repository ids are far shorter


def check_model_name(name: str, served: ServedModel, accept_any_model: bool) -> None:
    """Raises ModelNotFoundError for a name that this server does not go by."""
    if name in served.names:
        return
    if accept_any_model and len(name) > _MAX_NAME_CHARS:  # each chunk of a stream would repeat it
        raise InvalidRequestError(f"'model' is longer than {_MAX_NAME_CHARS} characters.", param="model")
    if accept_any_model:
        return
    known = ", ".join(repr(each) for each in served.names)
    asked = cut_middle(name, _MAX_NAME_CHARS // 4)
    raise ModelNotFoundError(f"The model {asked!r} does not exist; served here: {known}.", param="model")
