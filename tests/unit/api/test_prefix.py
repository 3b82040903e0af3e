"""A server behind a reverse proxy, under a path of its own."""

import pytest
from starlette.requests import Request
from starlette.responses import Response

from localai.api.edge import Edge
from localai.api.policy import Policy
from localai.api.prefix import clean, strip
from localai.api.readiness import Readiness
from localai.api.replies import json_reply
from localai.api.table import Row, build
from localai.core.caller import Caller
from localai.core.errors import InvalidRequest
from localai.observe.metrics import Metrics
from wire_server import FixedKeys


async def _hello(request: Request, caller: Caller) -> Response:
    return json_reply({"path": request.scope["path"]})


def _scope(path, *forwarded):
    return {"type": "http", "path": path, "headers": [(b"x-forwarded-prefix", value) for value in forwarded]}


@pytest.mark.parametrize(
    ("given", "path"), [("", ""), ("/", ""), ("ai", "/ai"), ("/ai/", "/ai"), (" /a/b.c~d_e-f ", "/a/b.c~d_e-f")]
)
def test_the_setting_is_a_path(given, path):
    """The setting may be written with slashes or without."""
    assert clean(given) == path


@pytest.mark.parametrize("given", ["/a b", "/..", "/a/../b", "/a?b", '/"><script>', "/a//b", "/" + "a" * 300, "/ä"])
def test_other_settings_are_refused(given):
    """What is no plain path is refused at the start, with the name of the setting."""
    with pytest.raises(InvalidRequest) as caught:
        clean(given)
    assert caught.value.param == "root_path"


@pytest.mark.parametrize(
    ("path", "forwarded", "root", "inner", "links"),
    [
        ("/ai/v1/models", (), "/ai", "/v1/models", "/ai"),
        ("/v1/models", (), "/ai", "/v1/models", "/ai"),
        ("/ai", (), "/ai", "/", "/ai"),
        ("/aix", (), "/ai", "/aix", "/ai"),
        ("/v1/models", (b"/ai",), "", "/v1/models", "/ai"),
        ("/ai/v1/models", (b"/ai/",), "", "/v1/models", "/ai"),
        ("/ai/v1", (b"/other",), "/ai", "/v1", "/other"),
        ("/ai/v1", (), "", "/ai/v1", ""),
        ("/v1", (b"/a", b"/b"), "", "/v1", ""),
        ("/v1", (b"//evil.example",), "", "/v1", ""),
        ("/v1", (b"/a/../b",), "", "/v1", ""),
        ("/v1", (b'/"><script>',), "", "/v1", ""),
        ("/ai/ai/v1", (), "/ai", "/ai/v1", "/ai"),
    ],
)
def test_strip(path, forwarded, root, inner, links):
    """The path in front is taken off once where it is there, and links start with it; other headers are nothing."""
    scope = _scope(path, *forwarded)
    assert (strip(scope, root), scope["path"]) == (links, inner)


@pytest.fixture
def edge():
    rows = [Row("GET", "/v1/hello", _hello, "infer", "Say hello")]
    return Edge(
        build(rows, FixedKeys()),
        policy=Policy(),
        metrics=Metrics(),
        readiness=Readiness(),
        body_limit=1024,
        root_path="/ai",
    )


async def _ask(edge, path, **headers):
    sent = []

    async def receive():
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message):
        sent.append(message)

    fields = {"host": "localhost", "authorization": "Bearer sk-infer", **headers}
    await edge(
        {
            "type": "http",
            "method": "GET",
            "scheme": "http",
            "path": path,
            "query_string": b"",
            "server": ("127.0.0.1", 1),
            "client": ("127.0.0.1", 2),
            "headers": [(name.replace("_", "-").encode(), value.encode()) for name, value in fields.items()],
        },
        receive,
        send,
    )
    return sent[0]["status"], b"".join(message.get("body", b"") for message in sent[1:])


async def test_with_and_without_the_path(edge):
    """A proxy may strip its path or not: the same route answers, with the same rights."""
    for path in ("/ai/v1/hello", "/ai/hello", "/v1/hello"):
        assert (await _ask(edge, path))[0] == 200
        assert (await _ask(edge, path, authorization=""))[0] == 401


async def test_links_start_with_it(edge):
    """The description names the path as its server, and the page for people links to the description under it."""
    _, document = await _ask(edge, "/ai/openapi.json")
    assert b'"servers":[{"url":"/ai"}]' in document
    _, document = await _ask(edge, "/openapi.json", x_forwarded_prefix="/front")
    assert b'"servers":[{"url":"/front"}]' in document
    _, page = await _ask(edge, "/docs", x_forwarded_prefix='/"><script>')
    assert b'href="/ai/openapi.json"' in page
    assert b"<script>" not in page
