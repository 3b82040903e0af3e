"""The outermost layer, called as the ASGI application it is; tests/walk shows it over sockets."""

import pytest

from localai.api.edge import Edge
from localai.api.policy import Policy
from localai.api.readiness import Readiness
from localai.core.errors import EngineCrashed
from localai.observe.metrics import Metrics


class Wire:
    """Collects what an application sends."""

    def __init__(self) -> None:
        self.sent: list[dict[str, object]] = []

    async def send(self, message) -> None:
        self.sent.append(message)

    async def receive(self):
        return {"type": "http.request", "body": b"", "more_body": False}


def _edge(app) -> tuple[Edge, Metrics]:
    metrics = Metrics()
    return Edge(app, policy=Policy(), metrics=metrics, readiness=Readiness(), body_limit=10), metrics


def _scope(*headers: tuple[bytes, bytes]) -> dict[str, object]:
    fields = [(b"host", b"localhost"), *headers]
    return {"type": "http", "method": "GET", "scheme": "http", "path": "/", "headers": fields, "server": ("::1", 1)}


def _socket(*headers: tuple[bytes, bytes]) -> dict[str, object]:
    return {**_scope(*headers), "type": "websocket", "scheme": "ws"}


async def test_websockets_pass_the_same_guards():
    """A websocket reaches the application only from a host and an origin that may call; else it gets an HTTP answer."""
    seen = []

    async def app(scope, receive, send) -> None:
        seen.append(scope["path"])

    edge, _ = _edge(app)
    wire = Wire()
    await edge(_socket((b"origin", b"http://localhost")), wire.receive, wire.send)
    assert (seen, wire.sent) == (["/"], [])
    for scope, status in (
        (_socket((b"origin", b"http://evil.example")), 403),
        ({**_socket(), "headers": [(b"host", b"evil.example")]}, 421),
        ({**_socket(), "headers": []}, 400),
    ):
        wire = Wire()
        await edge(scope, wire.receive, wire.send)
        assert wire.sent[0]["type"] == "websocket.http.response.start"
        assert wire.sent[0]["status"] == status
    assert len(seen) == 1
    edge._readiness.draining = True
    wire = Wire()
    await edge(_socket(), wire.receive, wire.send)
    assert wire.sent[0]["status"] == 503


async def test_other_scopes_pass():
    """What is neither HTTP nor a websocket goes to the application."""
    seen = []

    async def app(scope, receive, send) -> None:
        seen.append(scope["type"])

    edge, _ = _edge(app)
    await edge({"type": "lifespan"}, None, None)
    assert seen == ["lifespan"]


async def test_error_after_the_start():
    """An error after the answer began is passed on, for the server to cut the connection, and is counted."""

    async def app(scope, receive, send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        raise EngineCrashed

    edge, metrics = _edge(app)
    wire = Wire()
    with pytest.raises(EngineCrashed):
        await edge(_scope(), wire.receive, wire.send)
    assert len(wire.sent) == 1
    assert 'route="unmatched",status="200"} 1.0' in metrics.render().decode()


async def test_nothing_sent():
    """A request whose client went away before any answer counts as a 499."""

    async def app(scope, receive, send) -> None:
        return

    edge, metrics = _edge(app)
    wire = Wire()
    await edge(_scope(), wire.receive, wire.send)
    assert 'status="499"' in metrics.render().decode()


async def test_own_cache_control_is_kept():
    """An answer that says how it may be stored keeps that."""

    async def app(scope, receive, send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"cache-control", b"no-cache")]})

    edge, _ = _edge(app)
    wire = Wire()
    await edge(_scope((b"x-request-id", b"mine")), wire.receive, wire.send)
    headers = wire.sent[0]["headers"]
    assert [value for name, value in headers if name == b"cache-control"] == [b"no-cache"]
    assert (b"x-request-id", b"mine") in headers
