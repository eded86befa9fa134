"""Which model names a client may use, and how they are listed."""

from __future__ import annotations

from dataclasses import asdict

from api.errors import InvalidRequestError, ModelNotFoundError
from api.http.fields.answer_shapes import ModelList, ModelObject
from api.server_handler import ServedModel
from api.shortening import cut_middle
from api.types import SamplingDefaults

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


def model_object(name: str, served: ServedModel) -> ModelObject:
    """OpenAI's four fields, the context of prompt and answer in tokens, and the folder's sampling."""
    return {
        "id": name,
        "object": "model",
        "created": served.created_seconds,
        "owned_by": "local",
        "context_length": served.context_length,
        "sampling_defaults": named_defaults(served.sampling_defaults),
    }


def named_defaults(defaults: SamplingDefaults) -> dict[str, float | int]:
    """Only what is set, by the names of the requests' fields."""
    return {name: value for name, value in asdict(defaults).items() if value is not None}


def model_list(served: ServedModel) -> ModelList:
    return {"object": "list", "data": [model_object(name, served) for name in served.names]}
