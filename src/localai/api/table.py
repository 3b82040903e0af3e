"""The route table: every route is a row with a scope, and a row without one stops the start."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, get_args

from pydantic import BaseModel
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import BaseRoute, Route, WebSocketRoute
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocket

from localai.api import openapi
from localai.api.absent import absent
from localai.api.credential import Authenticator, Guard
from localai.api.errors import narrow, reply
from localai.api.named import Names
from localai.api.replies import json_reply
from localai.api.visit import of, within
from localai.core import caller
from localai.core.caller import Caller
from localai.core.errors import MethodNotAllowed

Handler = Callable[[Request, Caller], Awaitable[Response]]
SocketHandler = Callable[[WebSocket, Caller], Awaitable[None]]

VERSIONED = "/v1"
"""Rows under this prefix are reachable without it too."""

SCOPES = frozenset(get_args(caller.Scope))


class Unguarded(Exception):
    """A row of the route table has no valid scope."""


@dataclass(frozen=True)
class Row:
    """One route. `body` describes what the handler reads; `answer` is the JSON schema of what it answers."""

    method: str
    path: str
    handler: Handler
    scope: caller.Scope
    summary: str
    body: type[BaseModel] | None = None
    tag: str = ""
    answer: dict[str, Any] | None = None
    listed: bool = True
    """Whether the OpenAPI document shows it."""
    media: tuple[str, ...] = ("application/json",)
    """What it answers in; a body with the field `stream` adds the dialect's kind of stream by itself."""
    status: int = 200
    """The status when all is well; 204 answers nothing."""


@dataclass(frozen=True)
class SocketRow:
    """A route that is a WebSocket. Its handler accepts the connection; what it raises before is an HTTP answer."""

    path: str
    handler: SocketHandler
    scope: caller.Scope
    method: str = "WEBSOCKET"


def build(
    rows: Sequence[Row], authenticator: Authenticator, version: str = "", sockets: Sequence[SocketRow] = ()
) -> Starlette:
    """The application that serves `rows` and `sockets`, and `/openapi.json` and `/docs` about them.

    Raises:
        Unguarded: A row without a valid scope.
        ValueError: Two rows with the same method and path.
    """
    table = [*rows, *_described(rows, version)]
    for row in (*table, *sockets):
        if row.scope not in SCOPES:
            raise Unguarded(f"{row.method} {row.path} has no scope; give its row one of {sorted(SCOPES)}.")
    guard = Guard(authenticator)
    paths = _by_path(table)
    routes: list[BaseRoute] = [Route(path, Endpoint(path, methods, guard)) for path, methods in paths.items()]
    routes += [
        WebSocketRoute(path, SocketEndpoint(row, guard))
        for row in sockets
        for path in (row.path, row.path.removeprefix(VERSIONED))
    ]
    names = Names(path for path, methods in paths.items() if _names_a_model(methods.get("POST")))
    app = Starlette(
        routes=routes,
        exception_handlers={HTTPException: _unmatched},
        middleware=[Middleware(Addressed, names=names)],
    )
    app.router.redirect_slashes = False
    return app


def _names_a_model(row: Row | None) -> bool:
    return row is not None and row.body is not None and "model" in row.body.model_fields


class Addressed:
    """Finds the model that a request's path names, before its route is looked for (see `api.named`)."""

    def __init__(self, app: ASGIApp, names: Names) -> None:
        self._app = app
        self._names = names

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, under the path of its route."""
        if scope["type"] != "lifespan":
            scope["path"], named = self._names.split(scope.get("method", "GET"), scope["path"])
            within(scope).named = named
        await self._app(scope, receive, send)


def _described(rows: Sequence[Row], version: str) -> tuple[Row, ...]:
    """The rows about the rows; what they answer is made when first asked for."""
    kept: dict[str, Any] = {}

    async def document(request: Request, _caller: Caller) -> Response:
        if "document" not in kept:
            kept["document"] = await asyncio.to_thread(openapi.describe, rows, version)
        return json_reply({**kept["document"], "servers": [{"url": of(request).prefix or "/"}]})

    async def page(request: Request, _caller: Caller) -> Response:
        return HTMLResponse(openapi.page(rows, version, of(request).prefix))

    return (
        Row("GET", "/openapi.json", document, "public", "This description of the API", listed=False),
        Row("GET", "/docs", page, "public", "This description of the API, for people", listed=False),
    )


def _by_path(rows: Sequence[Row]) -> dict[str, dict[str, Row]]:
    """Rows by path and method; a path of `/v1` also without it, unless a row of its own has that one."""
    paths: dict[str, dict[str, Row]] = {}
    for row in rows:
        methods = paths.setdefault(row.path, {})
        if row.method in methods:
            raise ValueError(f"{row.method} {row.path} is in the table twice.")
        methods[row.method] = row
    for row in rows:
        if row.path.startswith(VERSIONED + "/"):
            short = row.path.removeprefix(VERSIONED)
            paths.setdefault(short, {}).setdefault(row.method, replace(row, listed=False))
    return dict(sorted(paths.items(), key=lambda item: "{" in item[0]))


class Endpoint:
    """The rows of one path as an ASGI application: method, caller, scope, handler, errors."""

    def __init__(self, path: str, rows: Mapping[str, Row], guard: Guard) -> None:
        self._path = path
        self._rows = dict(rows)
        self._guard = guard
        if "GET" in self._rows:
            self._rows.setdefault("HEAD", self._rows["GET"])
        self._allowed = {"allow": ", ".join(sorted(self._rows))}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        request = Request(scope, receive, send)
        visit = of(request)
        visit.route = self._path
        try:
            row = self._rows.get(scope["method"])
            if row is None:
                await reply(MethodNotAllowed(), scope, self._allowed)(scope, receive, send)
                return
            who = await self._guard.admit(request, row.scope)
            visit.caller = who.id
            response = await row.handler(request, who)
            await response(scope, receive, send)
        except Exception as error:  # noqa: BLE001 - whatever a handler raises becomes an answer
            known = narrow(error)
            if visit.status:
                raise known from None
            await reply(known, scope)(scope, receive, send)


class SocketEndpoint:
    """A WebSocket's row as an ASGI application: caller, scope, handler."""

    def __init__(self, row: SocketRow, guard: Guard) -> None:
        self._row = row
        self._guard = guard

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        socket = WebSocket(scope, receive, send)
        visit = within(scope)
        visit.route = self._row.path
        who = await self._guard.admit(socket, self._row.scope)
        visit.caller = who.id
        visit.status = 101
        await self._row.handler(socket, who)


async def _unmatched(request: Request, error: Exception) -> Response:
    """Paths and methods that match no row, in the shape of the dialects."""
    return reply(absent(request.scope["path"]) or narrow(error), request.scope)
