from __future__ import annotations

import asyncio
import re

import httpx
import pytest

from api.http.page.files import STATIC_FOLDER
from api.http.page.route import asks_for_html
from api.keys.key import hash_of
from tests.http.conftest import ClientFactory

BROWSER = {"accept": "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8"}
FILES = sorted(path.name for path in STATIC_FOLDER.iterdir())
TYPES = {".html": "text/html", ".css": "text/css", ".js": "javascript", ".svg": "image/svg+xml"}


def get(client: httpx.AsyncClient, path: str, method: str = "GET", **headers: str) -> httpx.Response:
    return asyncio.run(client.request(method, path, headers=headers))


def test_a_browser_gets_the_page_and_everybody_else_the_list(client: httpx.AsyncClient) -> None:
    page = get(client, "/", **BROWSER)
    assert page.headers["content-type"].startswith("text/html")
    assert "accept" in page.headers["vary"].lower().split(", ")
    assert b"<!doctype html>" in page.content
    for accept in ("*/*", "application/json", ""):
        assert "GET /health" in get(client, "/", accept=accept).json()["endpoints"]


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        (BROWSER["accept"], True),
        ("application/json, TEXT/HTML;q=0.1", True),
        ("application/json, text/html;q=0", False),
        ("application/json, text/html; q=0.00", False),
        ("*/*", False),
        ("text/htmlx", False),
        ("", False),
    ],
)
def test_who_counts_as_a_browser(accept: str, expected: bool) -> None:
    assert asks_for_html(accept) is expected


def test_only_getting_it_is_special(client: httpx.AsyncClient) -> None:
    assert get(client, "/", "HEAD", **BROWSER).headers["content-type"].startswith("text/html")
    refused = get(client, "/", "POST", **BROWSER)
    assert (refused.status_code, refused.json()["error"]["code"]) == (405, "method_not_allowed")


def test_no_ui_leaves_the_list_and_none_of_the_files(client_for: ClientFactory) -> None:
    assert "GET /health" in get(client_for(no_ui=True), "/", **BROWSER).json()["endpoints"]
    assert get(client_for(no_ui=True), "/page/app.js").status_code == 404


def test_the_page_is_no_endpoint_of_the_api(client_for: ClientFactory) -> None:
    lists = [get(client_for(no_ui=no_ui), "/").json() for no_ui in (False, True)]
    assert lists[0] == lists[1]


@pytest.mark.parametrize("name", FILES)
def test_each_file_has_its_type_a_tag_and_a_policy(client: httpx.AsyncClient, name: str) -> None:
    found = get(client, f"/page/{name}")
    assert TYPES[f".{name.rpartition('.')[2]}"] in found.headers["content-type"]
    assert found.headers["x-content-type-options"] == "nosniff"
    policy = found.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    again = get(client, f"/page/{name}", **{"if-none-match": found.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["cache-control"] == "no-cache"


@pytest.mark.parametrize(
    "path",
    [
        "/page/../route.py",
        "/page/..%2froute.py",
        "/page/%2e%2e/route.py",
        "/page/%2e%2e%2f%2e%2e%2f%2e%2e%2fconfig.py",
        "/page/..%5croute.py",
        "/page//etc/passwd",
        "/page/%2fetc%2fpasswd",
        "/page/app.js%00.css",
        "/page/" + "a" * 5000,
        "/page/",
        "/page",
        "/page/nope.js",
    ],
)
def test_nothing_beside_the_folder_is_served(client: httpx.AsyncClient, path: str) -> None:
    answer = get(client, path)
    assert answer.status_code == 404
    assert answer.json()["error"]["code"] == "not_found"


def test_a_file_can_only_be_got(client: httpx.AsyncClient) -> None:
    answer = get(client, "/page/app.js", "POST")
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET, HEAD")


def test_the_page_asks_nobody_else_and_brings_no_inline_code() -> None:
    html = (STATIC_FOLDER / "index.html").read_text(encoding="utf-8")
    assert all("src=" in tag for tag in re.findall(r"<script[^>]*>", html))
    assert not re.search(r"<style|\bstyle=|\bon\w+=", html)
    assert not re.search(r'(?:src|href)="(?:\w+:|/)', html)


@pytest.mark.parametrize("name", [name for name in FILES if name.endswith(".js")])
def test_text_becomes_nodes_never_markup(name: str) -> None:
    code = (STATIC_FOLDER / name).read_text(encoding="utf-8")
    assert not re.search(
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function", code
    )
    assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)", code)
    assert len(code.splitlines()) <= 200


@pytest.mark.parametrize(
    ("path", "accept", "status"),
    [
        ("/", "text/html", 200),
        ("/page/app.js", "*/*", 200),
        ("/", "application/json", 401),
        ("/stats", "text/html", 401),
        ("/pages", "text/html", 401),
    ],
)
def test_the_page_needs_no_key_and_opens_nothing_else(
    client_for: ClientFactory, path: str, accept: str, status: int
) -> None:
    guarded = client_for(api_key_hashes=(hash_of("key"),))
    assert asyncio.run(guarded.get(path, headers={"accept": accept})).status_code == status
    hidden = client_for(api_key_hashes=(hash_of("key"),), no_ui=True)
    assert asyncio.run(hidden.get(path, headers={"accept": accept})).status_code == 401
