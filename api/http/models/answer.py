"""The names of the model as a list, and one of them."""

from __future__ import annotations

from dataclasses import asdict
from typing import Literal

from typing_extensions import TypedDict  # pydantic takes typing's own from Python 3.12 on only

from api.server_handler import ServedModel
from api.types import SamplingDefaults


class ModelObject(TypedDict):
    id: str
    object: Literal["model"]
    created: int
    owned_by: str
    context_length: int
    sampling_defaults: dict[str, float | int]


class ModelList(TypedDict):
    object: Literal["list"]
    data: list[ModelObject]


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
