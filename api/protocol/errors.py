"""The error object that every refusal and failure becomes."""

from __future__ import annotations

from typing import Any

from api.errors import ApiError


def error_object(error: ApiError) -> dict[str, Any]:
    """``{"error": {"message", "type", "param", "code"}}``"""
    return {
        "error": {
            "message": error.message,
            "type": error.type,
            "param": error.param,
            "code": error.code,
        }
    }
