"""One client's connection: uvicorn's protocol on httptools, where it is too trusting or gives up early."""

from __future__ import annotations

import asyncio
import urllib.parse
from typing import Any, cast

import httptools
import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from api.errors import (
    ApiError,
    InvalidRequestError,
    MethodNotAllowedError,
    NotServingError,
    RequestHeadTooLargeError,
)
from api.serving.connections.cycle import Cycle
from api.serving.connections.doorkeeper import Doorkeeper
from api.serving.connections.half_close import HalfClose
from api.serving.connections.patience import Awaited, Progress
from api.serving.connections.refusal import refusal_bytes
from api.serving.connections.upgrade import head_without_offer

_MAX_HEAD_BYTES = 64 * 1024
_SLICE_BYTES = 16 * 1024  # parsed at once: hundreds of requests may be in it
_MAX_BYTES_AHEAD = 256 * 1024  # of requests that are sent before the one at hand is answered


class ServingConfig(uvicorn.Config):
    """uvicorn's settings, and what all connections share."""

    def __init__(self, app: Any, doorkeeper: Doorkeeper, **settings: Any) -> None:
        super().__init__(app, http=ClientConnection, **settings)
        self.doorkeeper = doorkeeper


class ClientConnection(HttpToolsProtocol):
    """Serves one request after the other; what comes meanwhile waits unparsed, so that an end is noticed."""

    cycle: Cycle  # of the request whose head was parsed last

    def __init__(
        self,
        config: ServingConfig,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self.progress = Progress(self.loop.time())
        self._doorkeeper = config.doorkeeper
        self._served: Cycle | None = None  # the one that the application works on
        self._ahead = bytearray()
        self._num_unparsed_bytes = 0  # that came since the parser reported anything
        self._is_in_head = False
        self._is_in_body = False
        self._is_over = False  # whatever comes now is not heard
        self._half_close: HalfClose | None = None  # where the client has ended its sending

    # --- what the doorkeeper asks ---------------------------------------------------------------

    @property
    def awaited(self) -> Awaited:
        if self._is_over or self.transport.is_closing():
            return Awaited.ANSWER
        if self._is_in_body and (self.cycle is self._served or not self._is_answering):
            return Awaited.BODY
        if self._is_answering:
            return Awaited.ANSWER
        if self._is_in_head:
            return Awaited.HEAD
        return Awaited.FIRST_BYTE if self._served is None else Awaited.NEXT_REQUEST

    @property
    def _is_answering(self) -> bool:
        return self._served is not None and not self._served.is_answered

    @property
    def _is_encrypted(self) -> bool:
        return self.transport.get_extra_info("sslcontext") is not None  # TLS cannot be closed by half

    @property
    def is_reading_paused(self) -> bool:
        return self.flow.read_paused

    @property
    def num_stuck_bytes(self) -> int:
        if self._is_answering and not self.flow.write_paused and not self.transport.is_closing():
            return 0
        return self.transport.get_write_buffer_size()

    def abort(self) -> None:
        self.connections.discard(self)  # at once, since the transport tells its end later
        self.transport.abort()

    # --- the transport's calls ------------------------------------------------------------------

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        others = cast("set[ClientConnection]", self.connections)
        is_admitted = self._doorkeeper.admits(others, self.loop.time())
        super().connection_made(transport)
        if not is_admitted:
            self._refuse(NotServingError("The server has as many connections as it can hold."))

    def connection_lost(self, exc: Exception | None) -> None:
        if self._half_close is not None:
            self._half_close.stop()
        for cycle, _ in self.pipeline:
            cycle.disconnected = True
        self.pipeline.clear()
        if self._served is not None:
            self._served.leave()
        super().connection_lost(exc)

    def eof_received(self) -> bool:  # type: ignore[override]
        """Returns whether the connection stays open: where the client may still wait for an answer."""
        if not self._is_answering or self.awaited is Awaited.BODY or self._is_encrypted:
            return False
        self._half_close = HalfClose(self.loop, self._send_early)
        return True

    def _send_early(self) -> None:
        if self._served is not None and not self.transport.is_closing():
            self._served.send_early()

    def data_received(self, data: bytes) -> None:
        self._unset_keepalive_if_required()
        self._parse(data)

    def _keep_for_later(self, data: bytes) -> None:
        self._ahead += data
        if len(self._ahead) > _MAX_BYTES_AHEAD:
            # Reading goes on, or the client's end would not be noticed; what was too much is not heard.
            self._ahead.clear()
            self._end_behind_answer()

    # --- parsing --------------------------------------------------------------------------------

    def _parse(self, data: bytes) -> None:
        for start in range(0, len(data), _SLICE_BYTES):
            if self._is_over:
                return
            if self._is_answering and self.awaited is Awaited.ANSWER:
                self._keep_for_later(data[start:])
                return
            self._parse_slice(data[start : start + _SLICE_BYTES])

    def _parse_slice(self, data: bytes) -> None:
        self._num_unparsed_bytes += len(data)
        try:
            self._feed(data)
        except httptools.HttpParserError as error:
            self._refuse(InvalidRequestError(f"The request is not valid HTTP: {error}."))
            return
        if self._num_unparsed_bytes > _MAX_HEAD_BYTES:
            self._refuse(RequestHeadTooLargeError(f"The headers are larger than {_MAX_HEAD_BYTES} bytes."))

    def _feed(self, data: bytes) -> None:
        while data and not self._is_over:
            try:
                self.parser.feed_data(data)
                return
            except httptools.HttpParserUpgrade as offer:
                data = self._without_offer(data[offer.args[0] :])

    def _without_offer(self, rest: bytes) -> bytes:
        """What to parse in place of the request that has just offered an upgrade, and of ``rest``."""
        method, version = self.scope["method"], self.scope["http_version"]
        if method == "CONNECT":  # always ends HTTP
            self._refuse(MethodNotAllowedError("Method not allowed: CONNECT."))
            return b""
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
        return head_without_offer(method, self.url, version, self.headers) + rest

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._is_in_head = True
        if not self._is_answering:
            self.progress.last_seconds = self.loop.time()

    def on_headers_complete(self) -> None:
        self._complete_scope()
        self._is_in_head = False
        self._num_unparsed_bytes = 0
        if self.parser.should_upgrade():
            return  # it comes again without the offer
        self._is_in_body = True
        self.progress.body_begins(self.loop.time())
        self.cycle = self._new_cycle()
        if self._is_answering:
            self.pipeline.appendleft((self.cycle, self.app))
        else:
            self._start_asgi_task(self.cycle, self.app)

    def _complete_scope(self) -> None:
        self.scope["method"] = self.parser.get_method().decode("ascii")
        self.scope["http_version"] = self.parser.get_http_version()
        parsed = httptools.parse_url(self.url)
        path = parsed.path.decode("ascii")
        self.scope["path"] = self.root_path + (urllib.parse.unquote(path) if "%" in path else path)
        self.scope["raw_path"] = self.root_path.encode("ascii") + parsed.path
        self.scope["query_string"] = parsed.query or b""

    def _new_cycle(self) -> Cycle:
        return Cycle(
            scope=self.scope,
            transport=self.transport,
            flow=self.flow,
            logger=self.logger,
            access_logger=self.access_logger,
            access_log=self.access_log,
            default_headers=self.server_state.default_headers,
            message_event=asyncio.Event(),
            expect_100_continue=self.expect_100_continue,
            keep_alive=self.scope["http_version"] != "1.0" and self.parser.should_keep_alive(),
            on_response=self.on_response_complete,
        )

    def on_body(self, body: bytes) -> None:
        self._num_unparsed_bytes = 0
        self.progress.body_continues(len(body), self.loop.time())
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._num_unparsed_bytes = 0
        if not self.parser.should_upgrade():
            self._is_in_body = False
            super().on_message_complete()

    # --- answering ------------------------------------------------------------------------------

    def _start_asgi_task(self, cycle: Any, app: Any) -> None:
        self._served = cycle
        if cycle is self.cycle and self._is_in_body:
            self.progress.body_begins(self.loop.time())  # it was the server that kept it waiting
        super()._start_asgi_task(cycle, app)

    def on_response_complete(self) -> None:
        self.progress.last_seconds = self.loop.time()
        super().on_response_complete()  # starts the next one that is parsed
        if self.transport.is_closing() or (self._is_answering and self.awaited is not Awaited.BODY):
            return
        ahead, self._ahead = bytes(self._ahead), bytearray()
        if ahead:
            self._unset_keepalive_if_required()
            self._parse(ahead)
        # A request whose rest is still to come will not be whole any more.
        if self._half_close is not None and (not self._is_answering or self.awaited is Awaited.BODY):
            self.transport.close()

    def _refuse(self, error: ApiError) -> None:
        """Ends the connection with ``error``, or without it where an answer is on its way."""
        awaited = self.awaited
        if awaited is Awaited.ANSWER and self._is_answering:
            self._end_behind_answer()
            return
        if awaited is not Awaited.BODY or not self.cycle.response_started:
            self.transport.write(refusal_bytes(error, self.server_state.default_headers))
        self._is_over = True
        self.transport.close()

    def _end_behind_answer(self) -> None:
        """Closes once all is answered that has come so far as a whole; what else comes is not heard."""
        self._is_over = True
        if self._is_in_body and self._served is not None and self.cycle is not self._served:
            self.pipeline.popleft()  # its body will never be whole
            self.cycle = cast(Cycle, self.pipeline[0][0]) if self.pipeline else self._served
            self._is_in_body = False
        self.cycle.keep_alive = False
