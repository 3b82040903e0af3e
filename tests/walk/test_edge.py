"""From the socket through every layer of the edge and back."""

import asyncio
import json
import socket

import pytest

from localai.api.framing import Limits
from localai.api.policy import Policy
from localai.api.server import Server
from localai.core.errors import Conflict, InvalidRequest
from wire_rows import Routes
from wire_server import answer, chunks, head, request, serving


@pytest.fixture
def routes():
    return Routes()


@pytest.fixture
async def gateway(routes):
    async with serving(routes.rows()) as running:
        yield running


async def test_head(gateway):
    """HEAD answers what GET would, without the body."""
    reader, writer = await gateway.connect()
    writer.write(request("HEAD", "/v1/hello") + request("GET", "/v1/hello"))
    first = await answer(reader, body=False)
    second = await answer(reader)
    writer.close()
    assert first.headers["content-length"] == second.headers["content-length"]
    assert second.json() == {"hello": "anonymous"}


async def test_without_version(gateway):
    """A route under /v1 answers without it too."""
    assert (await gateway.ask("GET", "/hello")).json() == {"hello": "anonymous"}
    assert (await gateway.ask("GET", "/things/a/b%2Fc")).json() == {"name": "a/b/c"}


async def test_unmatched(gateway):
    """An unknown path is a 404 and a wrong method a 405, both in OpenAI's shape."""
    for method, path, status in (("GET", "/nothing", 404), ("GET", "/v1/hello/", 404), ("DELETE", "/v1/hello", 405)):
        got = await gateway.ask(method, path)
        assert got.status == status
        assert set(got.json()["error"]) == {"message", "type", "param", "code"}
        assert got.headers["x-should-retry"] == "false"
    assert (await gateway.ask("PUT", "/v1/hello")).headers["allow"] == "get, head"


async def test_headers(gateway):
    """Every answer has a request id, may not be stored and may not be sniffed."""
    for path in ("/v1/hello", "/nothing", "/v1/broken"):
        got = await gateway.ask("GET", path)
        assert got.headers["x-request-id"].startswith("req_")
        assert got.headers["cache-control"] == "no-store"
        assert got.headers["x-content-type-options"] == "nosniff"
        assert not any(name.startswith("access-control") for name in got.headers)


@pytest.mark.parametrize(
    ("given", "kept"), [("abc-1.2_3", True), ("x" * 128, True), ("x" * 129, False), ("a b", False)]
)
async def test_request_id(gateway, given, kept):
    """A plain request id of the client is kept, any other is replaced."""
    got = await gateway.ask("GET", "/v1/hello", headers={"X-Request-Id": given})
    assert (got.headers["x-request-id"] == given) is kept


async def test_retry_headers(gateway):
    """An error that a retry can help says so, and when."""
    got = await gateway.ask("GET", "/v1/busy")
    assert got.status == 503
    assert got.headers["x-should-retry"] == "true"
    assert (got.headers["retry-after"], got.headers["retry-after-ms"]) == ("3", "2500")


async def test_unexpected_error(gateway, capfd):
    """An error nobody foresaw is a 500 with a fixed text; its own text is nowhere, not even in the log."""
    got = await gateway.ask("GET", "/v1/broken")
    assert got.status == 500
    assert got.json()["error"]["code"] == "internal_error"
    assert b"canary" not in got.body
    from localai.observe import logs

    logs.flush()
    logged = capfd.readouterr().err
    assert "RuntimeError" in logged
    assert "wire_rows.py" in logged
    assert got.headers["x-request-id"] in logged
    assert "canary" not in logged


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Origin": "http://127.0.0.1"}, 200),
        ({"Origin": "http://127.0.0.1:3000"}, 403),
        ({"Origin": "https://127.0.0.1"}, 403),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": ""}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}, 200),
        ({"Sec-Fetch-Site": "same-origin"}, 200),
        ({"Origin": "https://app.example"}, 200),
        ({"Origin": "https://app.example", "Sec-Fetch-Site": "cross-site"}, 200),
    ],
)
async def test_origin(headers, status):
    """A page of another origin is refused on every route unless its origin is allowed."""
    async with serving(Routes().rows(), policy=Policy(allowed_origins=("https://app.example",))) as gateway:
        got = await gateway.ask("GET", "/v1/hello", headers=headers)
        assert got.status == status
        shared = got.headers.get("access-control-allow-origin")
        assert shared == ("https://app.example" if headers.get("Origin") == "https://app.example" else None)


async def test_preflight():
    """A browser's question beforehand is answered for allowed origins only, with all headers it asks for."""
    asked = "authorization, content-type, x-stainless-retry-count"
    headers = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": asked}
    async with serving(Routes().rows(), policy=Policy(allowed_origins=("https://app.example",))) as gateway:
        good = await gateway.ask("OPTIONS", "/v1/echo", headers=headers | {"Origin": "https://app.example"})
        assert good.status == 204
        assert good.headers["access-control-allow-headers"] == asked
        assert "post" in good.headers["access-control-allow-methods"]
        bad = await gateway.ask("OPTIONS", "/v1/echo", headers=headers | {"Origin": "https://evil.example"})
        assert bad.status == 403


async def test_stream(gateway, routes):
    """A stream sends each piece as it comes and ends whole."""
    routes.go.set()
    got = await gateway.ask("GET", "/v1/stream")
    assert got.headers["content-type"].startswith("text/event-stream")
    assert got.headers["x-accel-buffering"] == "no"
    assert got.headers["cache-control"] == "no-cache"
    assert got.body == b"data: first\n\ndata: last\n\n"


async def test_keep_alive_comments(gateway, routes):
    """F33: a silent stream says that it lives, again and again."""
    routes.silence = 0.05
    reader, writer = await gateway.connect()
    writer.write(request("GET", "/v1/stream"))
    await head(reader)
    pieces = chunks(reader)
    seen = [await asyncio.wait_for(anext(pieces), 5) for _ in range(4)]
    assert seen == [b"data: first\n\n", *[b": keep-alive\n\n"] * 3]
    writer.close()


@pytest.mark.parametrize("reset", [False, True])
@pytest.mark.parametrize("path", ["/v1/stream", "/v1/wait"])
async def test_disconnect(gateway, routes, path, reset):
    """F17: what works for a client stops when that client disconnects, by FIN and by RST, streamed or not."""
    _, writer = await gateway.connect()
    writer.write(request("GET", path) if path == "/v1/stream" else request("POST", path, b"{}"))
    await asyncio.wait_for(routes.entered.wait(), 5)
    assert not routes.left.is_set()
    if reset:
        writer.transport.abort()
    else:
        writer.close()
    await asyncio.wait_for(routes.left.wait(), 5)


async def test_disconnect_with_more_requests_waiting(gateway, routes):
    """F17: the running request is told of a disconnect also when the client had sent more requests behind it."""
    _, writer = await gateway.connect()
    writer.write(request("GET", "/v1/stream") + request("GET", "/v1/hello"))
    await asyncio.wait_for(routes.entered.wait(), 5)
    writer.transport.abort()
    await asyncio.wait_for(routes.left.wait(), 5)


async def test_drain(gateway, routes):
    """F24: a leaving server takes nothing new, tells so at once, lets its streams finish and closes."""
    streaming_reader, streaming = await gateway.connect()
    streaming.write(request("GET", "/v1/stream"))
    await head(streaming_reader)
    probe_reader, probe = await gateway.connect()
    probe.write(request("GET", "/v1/hello"))
    await answer(probe_reader)

    stopping = asyncio.create_task(gateway.server.run(routes.left.wait, signals=False))
    await asyncio.sleep(0)
    gateway.server.leave()
    with pytest.raises(OSError):
        await gateway.connect()
    probe.write(request("GET", "/v1/hello"))
    refused = await answer(probe_reader)
    assert refused.status == 503
    assert refused.json()["error"]["code"] == "server_shutting_down"
    assert not stopping.done()

    routes.go.set()
    assert b"last" in await streaming_reader.readuntil(b"0\r\n\r\n")
    await asyncio.wait_for(stopping, 5)
    assert await streaming_reader.read() == b""
    streaming.close()
    probe.close()


async def test_forced_stop(gateway, routes):
    """F24: asked twice, the server stops at once, whatever still runs."""
    reader, writer = await gateway.connect()
    writer.write(request("GET", "/v1/stream"))
    await head(reader)
    running = asyncio.create_task(gateway.server.run(asyncio.Event().wait, signals=False))
    await asyncio.sleep(0)
    gateway.server.leave()
    gateway.server.leave()
    await asyncio.wait_for(running, 5)
    assert routes.left.is_set()
    writer.close()


async def test_failing_drain_still_stops(gateway):
    """A drain that fails does not keep the server from leaving."""

    async def drain() -> None:
        raise RuntimeError

    await asyncio.wait_for(gateway.server.stop(drain), 5)


async def test_port_taken(gateway):
    """A taken port is an error that names the port and the flag to choose another."""
    second = Server(
        lambda *_: None,
        host="127.0.0.1",
        port=gateway.port,
        limits=Limits(),
        readiness=gateway.readiness,
        metrics=gateway.metrics,
    )
    with pytest.raises(Conflict, match=rf"{gateway.port}.*--port"):
        await second.start()


async def test_foreign_address(gateway):
    """An address of another machine is an error that names the flag."""
    second = Server(
        lambda *_: None,
        host="192.0.2.1",
        port=0,
        limits=Limits(),
        readiness=gateway.readiness,
        metrics=gateway.metrics,
    )
    with pytest.raises(InvalidRequest, match="--host"):
        await second.start()


async def test_metrics_and_log(gateway, capfd):
    """A request is counted by its template and logged without its path, its query, its key and its body."""
    body = json.dumps({"text": "canary-body", "unheard": "canary-field"}).encode()
    await gateway.ask("POST", "/v1/echo?canary=query", body, {"Authorization": "Bearer canary-key"})
    await gateway.ask("GET", "/v1/things/canary-name")
    series = 'localai_requests_total{method="POST",model="",route="/v1/echo",status="200"}'
    assert gateway.count(series) == 1
    assert gateway.count('localai_unknown_fields_total{route="/v1/echo"}') == 1
    from localai.observe import logs

    logs.flush()
    logged = capfd.readouterr().err
    assert "/v1/things/{name:path}" in logged
    assert "canary" not in logged + gateway.metrics.render().decode()


async def test_openapi(gateway):
    """The description lists every row once, with the schema of its body, and the page for people loads nothing."""
    document = (await gateway.ask("GET", "/openapi.json")).json()
    assert "/v1/things/{name}" in document["paths"]
    assert "/hello" not in document["paths"]
    body = document["paths"]["/v1/echo"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert body == {"$ref": "#/components/schemas/EchoBody"}
    assert set(document["components"]["schemas"]["EchoBody"]["properties"]) == {"text", "items", "number"}
    page = (await gateway.ask("GET", "/docs")).body.decode()
    assert "/v1/echo" in page
    assert "http" not in page.replace("http-equiv", "")
    assert "<script" not in page


async def test_socket_of_a_half_closed_client(gateway):
    """A client that is done sending and closes its half ends its request."""
    raw = socket.create_connection(("127.0.0.1", gateway.port))
    raw.setblocking(False)
    reader, writer = await asyncio.open_connection(sock=raw)
    writer.write(b"GET /v1/hello HTTP/1.1\r\n")
    writer.write_eof()
    assert await asyncio.wait_for(reader.read(), 5) == b""
    writer.close()
