"""The way of every body: read, parsed, checked; a refusal is counted, an unknown field logged."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import structlog
from fastapi import Request
from pydantic import BaseModel

from api.errors import ApiError
from api.protocol.compatibility.foreign import FOREIGN_NAMES
from api.routes.body import read_json
from api.routes.context import HttpContext
from api.schemas.validation import unknown_fields
from api.server_handler import ServedModel

log = structlog.get_logger(__name__)

Body = TypeVar("Body", bound=BaseModel)
Result = TypeVar("Result")


async def read_body(
    request: Request,
    http: HttpContext,
    parse: Callable[[object, ServedModel, bool], Body],
    convert: Callable[[Body, ServedModel], Result],
) -> tuple[Body, Result]:
    """Returns the typed body and what ``convert`` makes of it. Raises ApiError and ClientDisconnect."""
    try:
        http.require_serving()
        data = await read_json(request, http.config.max_body_bytes)
        log.debug("request", body=data)
        served = http.handler.served_model
        body = parse(data, served, http.config.accept_any_model)
        result = convert(body, served)
    except ApiError as error:
        http.handler.record_refusal(error)
        raise
    http.unknown_fields.report(name for name in unknown_fields(body) if name not in FOREIGN_NAMES)
    return body, result
