"""One HTTP/1.1 connection: uvicorn's, behind our own framing, with deadlines for everything a client does.

Deadlines are absolute (a byte now and then does not move them) and looked at by the server's tick, so that they
cost nothing on the path of a request.
"""

import asyncio
import logging
import time
from enum import Enum, auto
from typing import Any, Literal, cast

import httptools
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from localai.api import socket
from localai.api.exit import Exit
from localai.api.framing import Chunked, Fixed, Head, Limits
from localai.api.refusal import refusal
from localai.api.target import check_target
from localai.core.errors import LocalAIError, MalformedRequest, Overloaded, RequestTimeout
from localai.observe.metrics import Metrics

PIPELINED = 16
"""Requests a client may send ahead of the answers."""

OVER = 32
"""Connections beyond the cap that are told why they are refused; further ones are closed without a word."""

Cut = Literal["headers", "body", "write", "idle", "limit", "malformed"]

silent = logging.getLogger("localai.api.protocol")
"""Takes what uvicorn's protocols say, and says nothing."""
silent.addHandler(logging.NullHandler())
silent.propagate = False
silent.setLevel(logging.CRITICAL)


class Phase(Enum):
    """What the next bytes of a connection are."""

    IDLE = auto()
    HEAD = auto()
    BODY = auto()
    LEAVING = auto()
    """Refused: whatever comes is thrown away until the client has read why."""


class Connection(HttpToolsProtocol):
    """A client's connection. `overdue` is called every tick."""

    def __init__(self, config: Config, state: ServerState, limits: Limits, metrics: Metrics) -> None:
        super().__init__(config, state, {}, asyncio.get_running_loop())
        self.logger = silent  # what went wrong is told by the edge, without values
        self.limits = limits
        self.metrics = metrics
        self.phase = Phase.HEAD
        self.since = time.monotonic()
        """When the phase began; in a body, when the span that is being measured did."""
        self._head = Head(limits)
        self._body: Fixed | Chunked = Fixed(0)
        self._received = 0
        self._measured = 0
        self._unread = False
        self._paused_at: float | None = None
        self._running: RequestResponseCycle | None = None
        """The request being answered; uvicorn's `cycle` is the last one that came, which may still wait its turn."""

    @property
    def _parser(self) -> httptools.HttpRequestParser:
        return cast("httptools.HttpRequestParser", self.parser)

    @property
    def busy(self) -> bool:
        """Whether a request is being answered."""
        return self._running is not None and not self._running.response_complete

    def connection_made(self, transport: asyncio.BaseTransport) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Take the connection, or refuse it when there are as many as the server takes."""
        wire = cast("asyncio.Transport", transport)
        wire.set_write_buffer_limits(high=self.limits.write_bytes)
        super().connection_made(wire)
        self.metrics.connections(len(self.connections))
        over = len(self.connections) - self.limits.connections
        if over > 0 and not self._make_room():
            if over > OVER:
                self._abort("limit")
            else:
                self.refuse(Overloaded("There are too many connections; try again soon.", retry_after=1), "limit")

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell the running request, and forget everything."""
        super().connection_lost(exc)
        self._tell_gone()
        self._unset_keepalive_if_required()
        self.metrics.connections(len(self.connections))

    def _tell_gone(self) -> None:
        """Let the running request know that nobody waits for it any more."""
        if self._running is not None and not self._running.response_complete:
            self._running.disconnected = True
            self._running.message_event.set()

    def _make_room(self) -> bool:
        """Close a connection that does nothing or takes too long to ask, if there is one, for this one."""
        now = time.monotonic()
        others = [other for other in ours(self.connections) if other is not self and other.gives_way(now)]
        if not others:
            return False
        other = min(others, key=lambda each: (each.phase is not Phase.IDLE, each.since))
        self.connections.discard(cast("Any", other))
        other.transport.abort()
        return True

    def gives_way(self, now: float) -> bool:
        """Whether a newcomer may have its place: it is idle, or slower with its request than `prompt_seconds`."""
        match self.phase:
            case Phase.IDLE:
                return not self.busy
            case Phase.HEAD:
                return not self.busy and now - self.since > self.limits.prompt_seconds
            case Phase.BODY:
                waited = now - self.since
                slow = self._received - self._measured < self.limits.body_rate * waited
                return slow and waited > self.limits.prompt_seconds and not self.flow.read_paused
            case Phase.LEAVING:
                return False

    def data_received(self, data: bytes) -> None:
        """Follow the framing of what came and hand it to the parser."""
        self._unset_keepalive_if_required()
        try:
            while data:
                data = self._take(data)
        except LocalAIError as error:
            self.refuse(error, "malformed")
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self.refuse(MalformedRequest(), "malformed")

    def _take(self, data: bytes) -> bytes:
        """Use the beginning of `data` and answer the rest."""
        match self.phase:
            case Phase.LEAVING:
                return b""
            case Phase.BODY:
                return self._take_body(data)
            case Phase.IDLE | Phase.HEAD:
                return self._take_head(data)

    def _take_head(self, data: bytes) -> bytes:
        if self.phase is Phase.IDLE:
            self._enter(Phase.HEAD)
        head, rest = self._head.take(data)
        if head is not None:
            if self._is_upgraded_by(head):
                self._upgrade(rest)
                return b""
            self._enter(Phase.BODY)
            self._received = self._measured = 0
            self._end_body()
        return rest

    def _is_upgraded_by(self, head: bytes) -> bool:
        """Hand a head to the parser; whether it asks for a WebSocket."""
        try:
            self._parser.feed_data(head)
        except httptools.HttpParserUpgrade:
            if self._should_upgrade():
                return True
            raise
        return False

    def _upgrade(self, rest: bytes) -> None:
        """Become a WebSocket, unless anything else is under way on this connection."""
        alone = not rest and not self.busy and not self.pipeline and self._body.done
        if not alone or self.scope["method"] != "GET" or not self.url.startswith(b"/"):
            raise MalformedRequest
        self._enter(Phase.IDLE)
        socket.become(self.transport, self.loop, self.handle_websocket_upgrade)

    def _take_body(self, data: bytes) -> bytes:
        count = self._body.take(data)
        self._received += count
        self._parser.feed_data(data[:count] if count < len(data) else data)
        self._end_body()
        if self._received > 2 * self.limits.body_bytes and not self.busy:
            self._linger()
        return data[count:]

    def _end_body(self) -> None:
        if self._body.done:
            self._enter(Phase.IDLE)

    def _enter(self, phase: Phase) -> None:
        self.phase = phase
        self.since = time.monotonic()

    def on_headers_complete(self) -> None:
        """Decide how the body is framed, then start the request."""
        version = self._parser.get_http_version()
        fields = dict(self.headers)
        if version not in {"1.0", "1.1"} or len(self.pipeline) >= PIPELINED:
            raise MalformedRequest
        coding = fields.get(b"transfer-encoding")
        if coding is not None and (version == "1.0" or coding.lower() != b"chunked"):
            raise MalformedRequest
        check_target(self.url, fields.get(b"host", b""))
        self._body = Fixed(int(fields.get(b"content-length", b"0"))) if coding is None else Chunked(self.limits)
        super().on_headers_complete()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._running = cycle
        cycle.transport = cast("asyncio.Transport", Exit(self))
        super()._start_asgi_task(cycle, app)

    def shutdown(self) -> None:
        """The server leaves: the answer to the running request, or to the next, is the last."""
        last = cast("RequestResponseCycle | None", self.cycle)
        if last is not None:
            last.keep_alive = False

    def pause_writing(self) -> None:
        """Note when the client stopped reading."""
        self._paused_at = time.monotonic()
        super().pause_writing()

    def resume_writing(self) -> None:
        """Forget it."""
        self._paused_at = None
        super().resume_writing()

    def overdue(self, now: float) -> None:
        """Cut the connection when a deadline has passed. `now` is `time.monotonic()`."""
        if self._paused_at is not None and now - self._paused_at > self.limits.write_seconds:
            self._abort("write")
        elif self.phase is Phase.LEAVING or self.transport.is_closing():
            patience = self.limits.linger_seconds if self._unread else self.limits.write_seconds
            if self.phase is not Phase.LEAVING:
                self._enter(Phase.LEAVING)
            elif now - self.since > patience:
                self.transport.abort()
        elif self.phase is Phase.HEAD and now - self.since > self.limits.head_seconds:
            self._late_head()
        elif self.phase is Phase.BODY and now - self.since > self.limits.body_seconds:
            self._measure(now)

    def _late_head(self) -> None:
        if self._head.begun and not self.busy:
            self.refuse(RequestTimeout(), "headers")
        else:
            self._abort("headers")

    def _measure(self, now: float) -> None:
        enough = self.limits.body_rate * (now - self.since)
        if self.flow.read_paused or self._received - self._measured >= enough:
            self.since, self._measured = now, self._received
        else:
            self.refuse(RequestTimeout("The body came too slowly."), "body")

    def _abort(self, why: Cut) -> None:
        self.metrics.dropped(why)
        self.transport.abort()

    def refuse(self, error: LocalAIError, why: Cut) -> None:
        """Answer `error` where no answer has begun, and leave."""
        self.metrics.dropped(why)
        begun = self._running is not None and self._running.response_started
        if self.busy:
            self._tell_gone()
            if begun or self.pipeline:
                self.transport.abort()
                return
        self.transport.write(refusal(error))
        self._linger()

    def _linger(self) -> None:
        """Close our half and let the client read: closing with unread input would wipe out the answer."""
        self._unread = True
        self._enter(Phase.LEAVING)
        self.flow.resume_reading()
        if self.transport.can_write_eof():
            self.transport.write_eof()

    def close(self) -> None:
        """Close after the answer is out: at once when the whole request was read, else lingering."""
        if self.phase is Phase.BODY:
            self._linger()
        elif self.phase is not Phase.LEAVING:
            self.transport.close()


def ours(connections: Any) -> list[Connection]:
    """Those of a server's connections (a set of any protocols) as what they are."""
    return [connection for connection in connections if isinstance(connection, Connection)]
