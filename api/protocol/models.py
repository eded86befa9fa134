"""Which model names a client may use, and how they are listed."""

from __future__ import annotations

from api.errors import ModelNotFoundError
from api.schemas.answers import ModelList, ModelObject
from api.server_handler import ServedModel


def check_model_name(name: str, served: ServedModel, accept_any_model: bool) -> None:
    """Raises ModelNotFoundError for a name that this server does not go by."""
    if accept_any_model or name in served.names:
        return
    known = ", ".join(repr(each) for each in served.names)
    raise ModelNotFoundError(f"The model {name!r} does not exist; served here: {known}.", param="model")


def model_object(name: str, served: ServedModel) -> ModelObject:
    """OpenAI's four fields, and the context that prompt and answer share, in tokens."""
    return {
        "id": name,
        "object": "model",
        "created": served.created_seconds,
        "owned_by": "local",
        "context_length": served.context_length,
    }


def model_list(served: ServedModel) -> ModelList:
    return {"object": "list", "data": [model_object(name, served) for name in served.names]}
