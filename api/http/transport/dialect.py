"""What an API dialect brings: one value for how its answers look, and two classes that write them.

The value hangs on the dialect's routes, so that whatever goes wrong before, in or after a handler is said in
the dialect's own words. What no route takes is answered as OpenAI would.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import orjson
from fastapi.routing import APIRoute
from starlette.routing import BaseRoute, Match
from starlette.types import Scope

from api.errors import ApiError
from api.events import TextEvent, Usage
from api.http.fields.answer_parts import error_object
from api.http.fields.answer_shapes import ErrorAnswer
from api.http.transport.description import routes_in


@dataclass(frozen=True, slots=True)
class Dialect:
    """How all answers of a dialect look, whatever they say."""

    error_object: Callable[[ApiError], Any]  # what a refusal's body is; one in mid-stream is the writer's
    error_shape: type  # what that returns, for the description
    names_events: bool = False  # a stream's events have a name: the "type" of the object in them
    end_mark: str | None = None  # the data of an event that ends a stream; None: there is no such event
    keep_alive_frame: bytes = b": keep-alive\n\n"  # what a stream sends that has nothing to say
    request_id_headers: tuple[str, ...] = ("x-request-id",)

    def frame(self, payload: Any) -> bytes:
        """An object as a server-sent event."""
        data = b"data: " + orjson.dumps(payload) + b"\n\n"
        return b"event: " + payload["type"].encode() + b"\n" + data if self.names_events else data

    @property
    def end_frame(self) -> bytes:
        return b"" if self.end_mark is None else b"data: " + self.end_mark.encode() + b"\n\n"


class EventWriter(Protocol):
    """Makes the objects of a stream of one request's events, a ``Failed`` in mid-stream among them."""

    def feed(self, event: TextEvent) -> list[Any]:
        """Returns what is to be sent after this event; may be nothing."""


class Collector(Protocol):
    """Makes one object of all of a request's events."""

    def feed(self, event: TextEvent) -> None: ...

    def answer(self, usage: Usage) -> Any: ...


OPENAI = Dialect(error_object, ErrorAnswer, end_mark="[DONE]")


class DialectRoute(APIRoute):
    """A dialect of its own has a subclass with its value: ``APIRouter(route_class=...)``."""

    dialect: ClassVar[Dialect] = OPENAI


def dialect_of_route(route: BaseRoute | None) -> Dialect:
    return route.dialect if isinstance(route, DialectRoute) else OPENAI


def dialect_of(scope: Scope) -> Dialect:
    """Of the route that takes the request, also one that does not know the method; else OpenAI's.

    What is refused before it comes to the routes is asked for here, so that it is said in the right words.
    """
    return dialect_of_route(scope["route"] if "route" in scope else _route_that_takes(scope))


def _route_that_takes(scope: Scope) -> BaseRoute | None:
    routes = routes_in(scope["app"].routes) if "app" in scope else ()
    return next((route for route in routes if route.matches(scope)[0] is not Match.NONE), None)


def request_id_headers(routes: Iterable[BaseRoute]) -> list[str]:
    """Of all dialects that have a route."""
    found = (name for route in routes for name in dialect_of_route(route).request_id_headers)
    return list(dict.fromkeys(found))
