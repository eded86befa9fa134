"""Every error that a client or an operator can meet.

::

    Exception
    |-- ApiError                          becomes an HTTP answer; carries status, type, code, param
    |   |-- InvalidRequestError           400 invalid_request_error
    |   |   |-- UnsupportedFieldError     400 unsupported_parameter: a field of OpenAI's we cannot honour
    |   |   |-- ContextLengthError        400 context_length_exceeded
    |   |   |-- MissingChatTemplateError  400 chat_template_missing
    |   |   |-- AuthenticationError       401 invalid_api_key
    |   |   |-- ForeignHostError          403 host_not_allowed, origin_not_allowed
    |   |   |-- ModelNotFoundError        404 model_not_found
    |   |   |-- RouteNotFoundError        404 not_found
    |   |   |-- MethodNotAllowedError     405 method_not_allowed
    |   |   |-- BodyTooLargeError         413 request_too_large
    |   |   |-- RequestHeadTooLargeError  431 request_too_large
    |   |   |-- ContentTypeError          415 unsupported_media_type
    |   |   `-- ContentEncodingError      415 unsupported_content_encoding
    |   |-- QueueFullError                429 rate_limit_exceeded, Retry-After
    |   |-- RateLimitError                429 rate_limit_exceeded, Retry-After: a limit of the API key
    |   `-- ServerSideError               500 server_error
    |       |-- NotServingError           503 service_unavailable, Retry-After: loading, draining, dead
    |       |-- OutOfMemoryError          503 out_of_kv_memory, Retry-After
    |       `-- RequestTimeoutError       504 request_timeout
    `-- StartupError                      one clear line for the operator and exit code 2
"""

from __future__ import annotations

from api.shortening import cut_middle

_MAX_MESSAGE_CHARS = 1_000
_MAX_PARAM_CHARS = 200


class ApiError(Exception):
    """An error with OpenAI's four fields, mapped to HTTP only in ``http/transport``."""

    status: int = 500
    type: str = "server_error"
    code: str | None = None
    retry_after_seconds: int | None = None

    def __init__(self, message: str, *, param: str | None = None, code: str | None = None) -> None:
        # Names, values and paths in it are the client's, who decides how long they are.
        self.message = cut_middle(message, _MAX_MESSAGE_CHARS)
        super().__init__(self.message)
        self.param = None if param is None else cut_middle(param, _MAX_PARAM_CHARS)
        if code is not None:
            self.code = code


class InvalidRequestError(ApiError):
    status = 400
    type = "invalid_request_error"
    code: str | None = "invalid_value"


class UnsupportedFieldError(InvalidRequestError):
    code = "unsupported_parameter"


class ContextLengthError(InvalidRequestError):
    code = "context_length_exceeded"


class MissingChatTemplateError(InvalidRequestError):
    code = "chat_template_missing"


class AuthenticationError(InvalidRequestError):
    status = 401
    code = "invalid_api_key"


class ForeignHostError(InvalidRequestError):
    status = 403
    code = "host_not_allowed"


class ModelNotFoundError(InvalidRequestError):
    status = 404
    code = "model_not_found"


class RouteNotFoundError(InvalidRequestError):
    status = 404
    code = "not_found"


class MethodNotAllowedError(InvalidRequestError):
    status = 405
    code = "method_not_allowed"


class BodyTooLargeError(InvalidRequestError):
    status = 413
    code = "request_too_large"


class RequestHeadTooLargeError(InvalidRequestError):
    status = 431
    code = "request_too_large"


class ContentTypeError(InvalidRequestError):
    status = 415
    code = "unsupported_media_type"


class ContentEncodingError(InvalidRequestError):
    status = 415
    code = "unsupported_content_encoding"


class QueueFullError(ApiError):
    status = 429
    type = "rate_limit_error"
    code = "rate_limit_exceeded"
    retry_after_seconds = 5


class RateLimitError(ApiError):
    status = 429
    type = "rate_limit_error"
    code = "rate_limit_exceeded"

    def __init__(self, message: str, retry_after_seconds: int) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class ServerSideError(ApiError):
    status = 500
    code: str | None = "internal_error"


class NotServingError(ServerSideError):
    status = 503
    code = "service_unavailable"
    retry_after_seconds = 5


class OutOfMemoryError(ServerSideError):
    status = 503
    code = "out_of_kv_memory"
    retry_after_seconds = 5


class RequestTimeoutError(ServerSideError):
    status = 504
    code = "request_timeout"


class StartupError(Exception):
    """The server cannot start; the message is one line that says why and what to do."""
