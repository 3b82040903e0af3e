"""The outermost layer of the HTTP application: who may knock, how large a body may be, and what is noted of it all.

A plain ASGI application, for it stands on the path of every streamed piece: its `send` looks at the first message
of an answer only.
"""

import re
import time
from collections.abc import Mapping, Sequence

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from localai.api import policy, prefix, visit
from localai.api.errors import narrow, reply
from localai.api.policy import Policy
from localai.api.readiness import Readiness
from localai.api.visit import Visit
from localai.core.errors import PayloadTooLarge, ShuttingDown
from localai.observe import logs
from localai.observe.metrics import Metrics

HEALTH = frozenset(("/livez", "/healthz", "/readyz", "/version", "/metrics"))
"""Paths that still answer while the server leaves, and that are logged at debug only."""

_log = logs.get("localai.access")

Headers = Sequence[tuple[bytes, bytes]]


class Edge:
    """Wraps the whole application."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        policy: Policy,
        metrics: Metrics,
        readiness: Readiness,
        body_limit: int,
        root_path: str = "",
        large: Mapping[str, int] | None = None,
    ) -> None:
        """Wrap an application.

        Args:
            app: What answers.
            policy: Hosts and origins.
            metrics: Told of every request.
            readiness: Whether the server is leaving.
            body_limit: Bytes of a request's body.
            root_path: Where a reverse proxy offers the server.
            large: Other limits for paths (regular expressions) whose handlers never hold a whole body.
        """
        self._app = app
        self._large = [(re.compile(pattern), limit) for pattern, limit in (large or {}).items()]
        self._root_path = prefix.clean(root_path)
        self._policy = policy
        self._metrics = metrics
        self._readiness = readiness
        self._body_limit = body_limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI connection."""
        match scope["type"]:
            case "http":
                await self._serve(scope, receive, send)
            case "websocket":
                await self._serve_socket(scope, receive, send)
            case _:
                await self._app(scope, receive, send)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers: Headers = scope["headers"]
        given = next((value for name, value in headers if name == b"x-request-id"), None)
        seen = Visit(visit.identifier(given))
        scope.setdefault("state", {})["visit"] = seen
        seen.prefix = prefix.strip(scope, self._root_path)
        logs.request_id.set(seen.id)
        gate = Gate(seen, send)
        try:
            receive = self._admit(scope, headers, gate, receive)
            if gate.preflight is not None:
                await gate.answer_preflight()
            else:
                await self._app(scope, receive, gate.send)
        except Exception as error:  # noqa: BLE001 - the last net: whatever comes up becomes an answer
            await self._fail(error, scope, receive, gate)
        finally:
            self._note(scope, seen)

    async def _serve_socket(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a WebSocket; what does not pass is told by an HTTP answer in place of the handshake."""
        scope["method"] = "GET"
        seen = Visit(visit.identifier(None))
        scope.setdefault("state", {})["visit"] = seen
        seen.prefix = prefix.strip(scope, self._root_path)
        logs.request_id.set(seen.id)
        try:
            server = scope.get("server") or ("", None)
            scheme = {"ws": "http", "wss": "https"}[scope["scheme"]]
            self._policy.check(policy.arrive("GET", scheme, server[0], scope["headers"]))
            self._check_open()
            await self._app(scope, receive, send)
        except Exception as error:  # noqa: BLE001 - as in `_serve`
            known = narrow(error)
            if seen.status:
                raise known from None
            seen.status = known.status
            await reply(known, scope)(scope, receive, send)
        finally:
            self._note(scope, seen)

    def _admit(self, scope: Scope, headers: Headers, gate: "Gate", receive: Receive) -> Receive:
        """Raise what the request must not pass with; answer the `receive` to read its body through."""
        server = scope.get("server") or ("", None)
        arrival = policy.arrive(scope["method"], scope["scheme"], server[0], headers)
        origin = self._policy.check(arrival)
        if origin is not None:
            gate.more = policy.shared(origin)
            if scope["method"] == "OPTIONS":
                gate.preflight = policy.preflight(origin, headers)
        if scope["path"] not in HEALTH:
            self._check_open()
        limit = next((limit for path, limit in self._large if path.fullmatch(scope["path"])), self._body_limit)
        return self._bounded(headers, receive, limit)

    def _check_open(self) -> None:
        if self._readiness.draining:
            raise ShuttingDown(retry_after=5)

    def _bounded(self, headers: Headers, receive: Receive, limit: int) -> Receive:
        length = next((value for name, value in headers if name == b"content-length"), None)
        if length is None:
            return _Counted(receive, limit) if _is_chunked(headers) else receive
        if int(length) > limit:
            raise _too_large(limit)
        return receive

    async def _fail(self, error: Exception, scope: Scope, receive: Receive, gate: "Gate") -> None:
        known = narrow(error)
        gate.visit.error = known.code
        if gate.visit.status:
            raise known from None  # the answer has begun: the server cuts the connection, which says it all
        unread = known.status in {400, 403, 413, 415, 421, 503}
        answer = reply(known, scope, {"connection": "close"} if unread else None)
        await answer(scope, receive, gate.send)

    def _note(self, scope: Scope, seen: Visit) -> None:
        seconds = time.monotonic() - seen.started
        status = seen.status or 499
        self._metrics.request(seen.route, scope["method"], status, seen.model, seconds)
        if seen.unknown_fields:
            self._metrics.unknown_fields(seen.route, seen.unknown_fields)
        facts = {
            "method": scope["method"],
            "route": seen.route,
            "status": status,
            "ms": round(seconds * 1000, 1),
            "model": seen.model,
            "caller": seen.caller,
            "error": seen.error,
        }
        record = _log.debug if scope["path"] in HEALTH and status < 500 else _log.info
        record("request", **{key: value for key, value in facts.items() if value != ""})


class Gate:
    """The way out of one request: completes the head of its answer."""

    def __init__(self, visit: Visit, send: Send) -> None:
        self.visit = visit
        self.more: list[tuple[bytes, bytes]] = []
        self.preflight: list[tuple[bytes, bytes]] | None = None
        self._send = send

    async def send(self, message: Message) -> None:
        """Pass a message on; the first gets the headers every answer has."""
        if message["type"] == "http.response.start":
            self.visit.status = message["status"]
            headers: list[tuple[bytes, bytes]] = [*message["headers"], *self.more]
            headers += ((b"x-request-id", self.visit.id.encode()), (b"x-content-type-options", b"nosniff"))
            if not any(name == b"cache-control" for name, _ in headers):
                headers.append((b"cache-control", b"no-store"))
            message["headers"] = headers
        await self._send(message)

    async def answer_preflight(self) -> None:
        """Answer 204 with what the browser wants to know."""
        self.visit.route = "preflight"
        self.more = []
        await self.send({"type": "http.response.start", "status": 204, "headers": self.preflight or []})
        await self.send({"type": "http.response.body", "body": b""})


class _Counted:
    """Receives a body of unknown length up to the limit."""

    def __init__(self, receive: Receive, limit: int) -> None:
        self._receive = receive
        self._limit = limit
        self._left = limit

    async def __call__(self) -> Message:
        message = await self._receive()
        if message["type"] == "http.request":
            self._left -= len(message.get("body", b""))
            if self._left < 0:
                raise _too_large(self._limit)
        return message


def _is_chunked(headers: Headers) -> bool:
    return any(name == b"transfer-encoding" for name, _ in headers)


def _too_large(limit: int) -> PayloadTooLarge:
    message = (
        f"The body is larger than {limit} bytes, which is what this server takes here (`body_limit`, `file_limit`)."
    )
    return PayloadTooLarge(message)
