from __future__ import annotations

from structlog.testing import capture_logs

from api.errors import QueueFullError, ServerSideError
from api.threads.failures import client_error


def test_what_is_made_for_clients_reaches_them() -> None:
    refused = QueueFullError("Later.")
    with capture_logs() as lines:
        assert client_error(refused, "r1", "it broke", "do it") is refused
    assert lines == []


def test_of_anything_else_the_log_has_the_details() -> None:
    broken = KeyError("secret")
    with capture_logs() as lines:
        told = client_error(broken, "r1", "it broke", "do it")
    assert type(told) is ServerSideError
    assert told.message == "The server failed to do it; its log has the details."
    [line] = lines
    assert (line["event"], line["request_id"], line["exc_info"]) == ("it broke", "r1", broken)
