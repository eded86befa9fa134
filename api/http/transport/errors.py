"""The error object that every refusal and failure becomes."""

from __future__ import annotations

from api.errors import ApiError
from api.http.fields.answer_shapes import ErrorAnswer


def error_object(error: ApiError) -> ErrorAnswer:
    """``{"error": {"message", "type", "param", "code"}}``"""
    return {
        "error": {
            "message": error.message,
            "type": error.type,
            "param": error.param,
            "code": error.code,
        }
    }
