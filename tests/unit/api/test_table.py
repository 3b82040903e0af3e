"""The route table."""

import pytest
from starlette.requests import Request
from starlette.responses import Response

from localai.api.replies import json_reply
from localai.api.table import Row, SocketRow, Unguarded, build
from localai.core.caller import Caller
from wire_server import FixedKeys, serving


async def _one(request: Request, caller: Caller) -> Response:
    return json_reply(1)


async def _two(request: Request, caller: Caller) -> Response:
    return json_reply(2)


@pytest.mark.parametrize("scope", ["", None, "root", "Public"])
def test_row_without_scope(scope):
    """D1: a row without a valid scope stops the start, and the message names it."""
    with pytest.raises(Unguarded, match="GET /x"):
        build([Row("GET", "/x", _one, scope, "")], FixedKeys())  # type: ignore[arg-type] - what is tested


def test_same_row_twice():
    """A method and path may be in the table once."""
    with pytest.raises(ValueError, match="twice"):
        build([Row("GET", "/x", _one, "public", "")] * 2, FixedKeys())


def test_scope_is_no_default():
    """A row cannot be written without a scope at all."""
    with pytest.raises(TypeError):
        Row("GET", "/x", _one, summary="")  # type: ignore[call-arg] - what is tested


async def test_own_row_beats_short_form():
    """A row of its own keeps its path; the short form of a /v1 row takes what is free."""
    rows = [
        Row("GET", "/v1/a", _one, "public", ""),
        Row("GET", "/a", _two, "public", ""),
        Row("GET", "/v1/b", _one, "public", ""),
    ]
    async with serving(rows) as gateway:
        answers = {path: (await gateway.ask("GET", path)).body for path in ("/v1/a", "/a", "/v1/b", "/b")}
    assert answers == {"/v1/a": b"1", "/a": b"2", "/v1/b": b"1", "/b": b"1"}


async def test_plain_path_beats_template():
    """A path without parameters is found before one with them, in whatever order they stand."""
    rows = [Row("GET", "/x/{name:path}", _one, "public", ""), Row("GET", "/x/y", _two, "public", "")]
    async with serving(rows) as gateway:
        assert (await gateway.ask("GET", "/x/y")).body == b"2"
        assert (await gateway.ask("GET", "/x/z/a")).body == b"1"


async def test_methods_of_one_path():
    """Rows of one path with different methods and scopes do not mix."""
    rows = [Row("GET", "/x", _one, "public", ""), Row("POST", "/x", _two, "admin", "")]
    async with serving(rows) as gateway:
        assert (await gateway.ask("GET", "/x")).body == b"1"
        assert (await gateway.ask("POST", "/x", b"")).status == 401
        assert (await gateway.ask("PUT", "/x", b"")).headers["allow"] == "get, head, post"


def test_websocket_without_scope():
    """D1: it holds for WebSockets as well."""

    async def talk(_socket, _caller):
        """Never called."""

    with pytest.raises(Unguarded, match="WEBSOCKET /x"):
        build([], FixedKeys(), sockets=[SocketRow("/x", talk, "")])  # type: ignore[arg-type] - what is tested
