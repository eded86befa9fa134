import pytest

from benchmarks.endpoint import Endpoint


@pytest.mark.parametrize(
    ("url", "line", "host"),
    [
        ("http://localhost:8000", "POST /v1/chat/completions HTTP/1.1", "localhost:8000"),
        ("http://localhost:8000/", "POST /v1/chat/completions HTTP/1.1", "localhost:8000"),
        ("http://a.example/api/v1/", "POST /api/v1/chat/completions HTTP/1.1", "a.example:80"),
        ("https://a.example/v1", "POST /v1/chat/completions HTTP/1.1", "a.example:443"),
        ("http://[::1]:9", "POST /v1/chat/completions HTTP/1.1", "[::1]:9"),
    ],
)
def test_requests_go_where_the_base_url_says(url: str, line: str, host: str) -> None:
    endpoint = Endpoint.of(url)
    lines = endpoint.chat_request({"a": 1}).decode().split("\r\n")
    assert lines[0] == line
    assert f"Host: {host}" in lines
    assert "Content-Length: 8" in lines
    assert lines[-2:] == ["", '{"a": 1}']
    assert (endpoint.tls is not None) == url.startswith("https")
    assert not any(each.startswith("Authorization") for each in lines)


def test_a_key_is_sent() -> None:
    request = Endpoint.of("http://localhost", "secret").chat_request({})
    assert b"\r\nAuthorization: Bearer secret\r\n" in request


@pytest.mark.parametrize("url", ["localhost:8000", "ftp://host", "http://", ""])
def test_what_is_no_url(url: str) -> None:
    with pytest.raises(ValueError, match="is no URL"):
        Endpoint.of(url)
