"""``GET /`` for a browser, and the files of the page in ``/page``. None of them is an endpoint of the API."""

from __future__ import annotations

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Match, Mount, Route
from starlette.types import Scope

from api.http.page.files import PageFiles
from api.http.transport.api_keys import route_path


class BrowserRoute(Route):
    """Is there for whoever asks for HTML; everybody else gets the next route."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        match, found = super().matches(scope)
        if match is Match.FULL and asks_for_html(Headers(scope=scope).get("accept", "")):
            return match, found
        return Match.NONE, {}


def page_routes() -> list[BaseRoute]:
    """To be asked before the list of endpoints, which has the same path."""
    files = PageFiles()

    async def show_page(request: Request) -> Response:
        response = await files.get_response("index.html", request.scope)
        response.headers["vary"] = "accept"
        return response

    return [BrowserRoute("/", show_page), Mount("/page", files)]


def is_of_page(scope: Scope) -> bool:
    """Whether the request gets one of the page's files, which are the same for everybody."""
    path = route_path(scope)
    is_shown = path == "/" and asks_for_html(Headers(scope=scope).get("accept", ""))
    return scope["method"] in ("GET", "HEAD") and (is_shown or path.startswith("/page/"))


def asks_for_html(accept: str) -> bool:
    """Whether it is named: ``*/*`` is what programs say."""
    return any(_is_html(each) for each in accept.split(","))


def _is_html(media_range: str) -> bool:
    name, *parameters = (part.strip().lower() for part in media_range.split(";"))
    is_refused = any(part.replace(" ", "").rstrip("0") in ("q=", "q=0.") for part in parameters)
    return name in ("text/html", "application/xhtml+xml") and not is_refused
