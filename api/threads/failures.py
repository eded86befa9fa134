"""What a client is told of an exception that it may not be to blame for."""

from __future__ import annotations

import structlog

from api.errors import ApiError, ServerSideError

log = structlog.get_logger(__name__)


def client_error(error: BaseException, request_id: str, event: str, task: str) -> ApiError:
    """``error`` itself where it was made for clients.

    Else it is logged as ``event``, and the client reads that the server failed to do its ``task``.
    """
    if isinstance(error, ApiError):
        return error
    log.error(event, request_id=request_id, exc_info=error)
    return ServerSideError(f"The server failed to {task}; its log has the details.")
