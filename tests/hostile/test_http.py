"""HTTP that is meant to hurt, over raw sockets: nothing is read in two ways, everything has a limit."""

import asyncio
import socket

import pytest

from localai.api.framing import Limits
from localai.api.policy import Policy
from wire_rows import Routes
from wire_server import Gateway, answer, request, serving

HOST = b"Host: 127.0.0.1\r\n"
POST = b"POST /v1/echo HTTP/1.1\r\n" + HOST
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"


@pytest.fixture
async def gateway():
    async with serving(Routes().rows(), limits=Limits(body_bytes=100_000)) as running:
        yield running


async def _closed(gateway: Gateway, data: bytes) -> int:
    """Send bytes; the status of the one answer, after which the connection must end."""
    reader, writer = await gateway.connect()
    writer.write(data)
    got = await answer(reader)
    assert await asyncio.wait_for(reader.read(), 5) == b""
    writer.close()
    assert got.headers["connection"] == "close"
    assert "error" in got.json()
    return got.status


@pytest.mark.parametrize(
    "data",
    [
        POST + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        POST + b"Transfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n0\r\n\r\n",
        POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        POST + b"Transfer-Encoding: identity\r\n\r\n",
        POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        POST.replace(b"1.1", b"1.0") + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        POST + b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
    ],
)
async def test_two_framings(gateway, data):
    """H1: a request framed in more than one way, or in an unclear one, is a 400 and the end of the connection."""
    assert await _closed(gateway, data) == 400


@pytest.mark.parametrize(
    "lengths", [(b"2", b"3"), (b"2", b"2"), (b"2, 2",), (b"+2",), (b"-1",), (b"0x2",), (b"9" * 30,), (b"",)]
)
async def test_content_length(gateway, lengths):
    """H2: a Content-Length that is not one plain number is a 400."""
    fields = b"".join(b"Content-Length: " + length + b"\r\n" for length in lengths)
    assert await _closed(gateway, POST + fields + b"\r\n{}") == 400


@pytest.mark.parametrize(
    "chunk",
    [
        b"FFFFFFFFFFFFFFFF\r\n{}",
        b"FFFFFFFFFFFFFFFFF\r\n{}",
        b"123456789\r\n{}",
        b"2\r\n{}XX0\r\n\r\n",
        b"2\n{}\n0\n\n",
        b"2 \r\n{}\r\n0\r\n\r\n",
        b"0x2\r\n{}\r\n0\r\n\r\n",
        b"-2\r\n{}\r\n0\r\n\r\n",
        b"2;name=value\r\n{}\r\n0\r\n\r\n",
        b"2\r\n{}\r\n0\r\nAuthorization: Bearer x\r\n\r\n",
        b"2\r\n{}\r\n0\r\nX: y\r\n\r\n",
        b"\r\n2\r\n{}\r\n0\r\n\r\n",
    ],
)
async def test_chunks(gateway, chunk):
    """H3: a chunk with a bad size or end, an extension or a trailer is a 400."""
    assert await _closed(gateway, CHUNKED + chunk) == 400


async def test_good_chunks(gateway):
    """A chunked body in the plain form is taken, however the bytes are cut."""
    data = CHUNKED + b"8\r\n" + b'{"text":' + b"\r\n5\r\n" + b'"hi"}' + b"\r\n0\r\n\r\n"
    reader, writer = await gateway.connect()
    for position in range(len(data)):
        writer.write(data[position : position + 1])
        await writer.drain()
    got = await answer(reader)
    writer.write(data)
    again = await answer(reader)
    writer.close()
    assert (got.status, again.status) == (200, 200)
    assert got.json()["text"] == "hi"


async def test_many_chunks(gateway):
    """H4: a body in a million tiny chunks is refused at the chunk limit, whatever it would add up to."""
    async with serving(Routes().rows(), limits=Limits(chunks=1000)) as small:
        reader, writer = await small.connect()
        writer.write(CHUNKED + b"1\r\n \r\n" * 2000)
        got = await answer(reader)
        writer.close()
    assert got.status == 413


@pytest.mark.parametrize(
    "fields", [b"X: y\r\n" * 10_000, b"X: " + b"y" * 1_000_000 + b"\r\n", b"Cookie: " + b"y" * 70_000]
)
async def test_headers(gateway, fields):
    """H5: too many headers, or one too large, are a 431 before they are all there."""
    assert await _closed(gateway, POST + fields) == 431


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"GET /v1/hello HTTP/1.1\r\nHost: evil.example\r\n\r\n", 421),
        (b"GET /v1/hello HTTP/1.1\r\nHost: 127.0.0.1.evil.example\r\n\r\n", 421),
        (b"GET /v1/hello HTTP/1.1\r\nHost: localhost:1\r\nHost: localhost:1\r\n\r\n", 400),
        (b"GET /v1/hello HTTP/1.1\r\n\r\n", 400),
        (b"GET /v1/hello HTTP/1.1\r\nHost:\r\n\r\n", 400),
        (b"GET /v1/hello HTTP/1.1\r\nHost: local host\r\n\r\n", 400),
        (b"GET /v1/hello HTTP/1.1\r\nHost: user@localhost\r\n\r\n", 400),
        (b"GET http://evil.example/v1/hello HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
        (b"GET http://evil.example/v1/hello HTTP/1.1\r\nHost: evil.example\r\n\r\n", 421),
        (b"GET ftp://localhost/v1/hello HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
        (b"OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
        (b"CONNECT evil.example:443 HTTP/1.1\r\nHost: evil.example:443\r\n\r\n", 400),
        (b"GET http://localhost/v1/hello HTTP/1.1\r\nHost: localhost\r\n\r\n", 200),
        (b"GET /v1/hello HTTP/1.1\r\nHost: [::1]:8080\r\n\r\n", 200),
        (b"GET /v1/hello HTTP/1.1\r\nHost: LOCALHOST:99\r\n\r\n", 200),
        (b"GET /v1/hello HTTP/1.1\r\nHost: 127.8.9.10\r\n\r\n", 200),
    ],
)
async def test_hosts(gateway, head, status):
    """H6: only loopback names, the bound address and allowed hosts are served; one Host, and the target agrees."""
    assert (await gateway.send(head)).status == status


async def test_allowed_host():
    """A host in `allowed_hosts` is served, also by a pattern."""
    policy = Policy(allowed_hosts=("ai.example", "*.lan"))
    async with serving(Routes().rows(), policy=policy) as gateway:
        for host, status in (("ai.example:8080", 200), ("box.lan", 200), ("lan", 421), ("bi.example", 421)):
            assert (await gateway.ask("GET", "/v1/hello", headers={"Host": host})).status == status


async def test_announced_too_large(gateway):
    """H7: a body announced too large is a 413 before a byte of it is read."""
    head = POST + b"Content-Length: 5368709120\r\n\r\n"
    assert (await gateway.send(head)).status == 413


async def test_announced_too_large_and_sent(gateway):
    """H7: a client that sends it all before it reads gets to read the 413, not a reset."""

    def client() -> bytes:
        with socket.create_connection(("127.0.0.1", gateway.port), 10) as raw:
            raw.sendall(POST + b"Content-Length: 8000000\r\n\r\n")
            for _ in range(80):
                raw.sendall(b" " * 100_000)
            return raw.recv(12)

    assert await asyncio.to_thread(client) == b"HTTP/1.1 413"


async def test_too_large_without_length(gateway):
    """H7: a body of unknown length is cut where it exceeds the limit."""
    reader, writer = await gateway.connect()
    writer.write(CHUNKED + b"".join(b"4000\r\n" + b" " * 16384 + b"\r\n" for _ in range(8)))
    got = await answer(reader)
    writer.close()
    assert got.status == 413


@pytest.mark.parametrize("coding", ["gzip", "br", "deflate", "identity, gzip", "GZIP"])
async def test_compressed(gateway, coding):
    """H8: a compressed body is a 415, never unpacked."""
    got = await gateway.ask("POST", "/v1/echo", b"{}", {"Content-Encoding": coding})
    assert got.status == 415


@pytest.mark.parametrize(
    "data",
    [
        b"GET /v1/hello\r\n\r\n",
        b"GET /v1/hello HTTP/2.0\r\n" + HOST + b"\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"get /v1/hello HTTP/1.1\r\n" + HOST + b"\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc",
        b"GET /v1/hello HTTP/1.1\n" + HOST,
        b"GET /v1/hello HTTP/1.1\r\nX: a\r\n b\r\n" + HOST + b"\r\n",
        b"GET /v1/hello HTTP/1.1\r\nX: a\0b\r\n" + HOST + b"\r\n",
        b"GET /v1/hello HTTP/1.1\r\nX: a\rb\r\n" + HOST + b"\r\n",
        b"GET /\xff HTTP/1.1\r\n" + HOST + b"\r\n",
    ],
)
async def test_malformed(gateway, data):
    """What is not HTTP/1 is a 400 at once, without waiting for more."""
    assert await _closed(gateway, data) == 400
    assert gateway.count('localai_connections_dropped_total{reason="malformed"}') == 1


async def test_pipelined(gateway):
    """Requests sent ahead are answered in their order; too many of them end the connection."""
    reader, writer = await gateway.connect()
    writer.write(b"".join(request("GET", f"/v1/things/{number}") for number in range(10)))
    names = [(await answer(reader)).json()["name"] for _ in range(10)]
    writer.close()
    assert names == [str(number) for number in range(10)]
    reader, writer = await gateway.connect()
    writer.write(request("GET", "/v1/stream") + request("GET", "/v1/hello") * 100)
    await asyncio.wait_for(reader.read(), 5)
    writer.close()


async def test_upgrade_is_ignored(gateway):
    """An offer to speak another protocol is ignored, and the body of that request is still read."""
    offer = {"Connection": "Upgrade, HTTP2-Settings", "Upgrade": "h2c", "HTTP2-Settings": "AAMAAABkAARAAAAAAAIAAAAA"}
    got = await gateway.ask("POST", "/v1/echo", b'{"text":"kept"}', offer)
    assert got.json()["text"] == "kept"


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": "Bearer ' OR '1'='1"},
        {"Authorization": "Bearer " + "x" * 10_000},
        {"Authorization": "Bearer schl\xfcssel"},
        {"Authorization": "Bearer sk-infe"},
        {"Authorization": "Bearer"},
        {"Authorization": ""},
        {"Authorization": "Basic c2staW5mZXI6"},
        {"Cookie": "key=sk-infer"},
        {"X-Key": "sk-infer"},
        {},
    ],
)
async def test_keys(gateway, headers):
    """H32: whatever is not a key in a place for keys is a 401 that says how to give one."""
    got = await gateway.ask("GET", "/v1/private", headers=headers)
    assert got.status == 401
    assert got.headers["www-authenticate"].startswith("bearer")


async def test_two_keys(gateway):
    """H32: two credentials that disagree are a 400, even when one is right; two that agree are one."""
    two = {"Authorization": "Bearer sk-infer", "x-api-key": "sk-admin"}
    assert (await gateway.ask("GET", "/v1/private", headers=two)).status == 400
    same = {"Authorization": "Bearer sk-infer", "api-key": "sk-infer", "xi-api-key": ""}
    assert (await gateway.ask("GET", "/v1/private", headers=same)).status == 200


async def test_guessing(gateway):
    """Ten wrong keys within a minute make the next a 429 with a time to wait; a key that proved right still works."""
    good = {"x-api-key": "sk-infer"}
    assert (await gateway.ask("GET", "/v1/private", headers=good)).status == 200
    for number in range(10):
        assert (await gateway.ask("GET", "/v1/private", headers={"x-api-key": f"sk-{number}"})).status == 401
    late = await gateway.ask("GET", "/v1/private", headers={"x-api-key": "sk-admin"})
    assert late.status == 429
    assert 1 <= int(late.headers["retry-after"]) <= 60
    assert (await gateway.ask("GET", "/v1/private", headers=good)).status == 200
