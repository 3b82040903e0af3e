"""Clients that take their time on purpose, and too many of them, with short deadlines given as limits."""

import asyncio
import resource
from dataclasses import replace

import pytest

from localai.api import server
from localai.api.framing import Limits
from wire_rows import Routes
from wire_server import Gateway, answer, chunks, head, request, serving

QUICK = Limits(head_seconds=0.3, body_seconds=0.3, write_seconds=0.4, idle_seconds=1, linger_seconds=0.3, tick=0.05)


async def _ends(reader: asyncio.StreamReader) -> bytes:
    """Everything until the server closes the connection."""
    try:
        return await asyncio.wait_for(reader.read(), 20)
    except ConnectionResetError:
        return b""


async def _drip(gateway: Gateway, beginning: bytes) -> bytes:
    """Send a beginning, then a byte now and then, until the server has had enough."""
    reader, writer = await gateway.connect()
    writer.write(beginning)

    async def more() -> None:
        while True:
            await asyncio.sleep(0.05)
            writer.write(b"X")

    dripping = asyncio.create_task(more())
    try:
        return await _ends(reader)
    finally:
        dripping.cancel()
        writer.transport.abort()


@pytest.mark.slow
async def test_slow_heads():
    """F15: clients that never finish their headers are all cut, byte after byte or not, while others are served."""
    async with serving(Routes().rows(), limits=replace(QUICK, head_seconds=1.5)) as gateway:
        beginning = b"GET /v1/hello HTTP/1.1\r\nHost: localhost\r\nX: "
        slow = [asyncio.create_task(_drip(gateway, beginning)) for _ in range(200)]
        silent = [asyncio.create_task(_drip(gateway, b"")) for _ in range(20)]
        while not all(task.done() for task in slow):
            assert (await gateway.ask("GET", "/v1/hello")).status == 200
            await asyncio.wait(slow, timeout=0.1)
        answers = await asyncio.gather(*slow, *silent)
        assert all(got.startswith(b"HTTP/1.1 408 ") or not got for got in answers)
        assert gateway.count('localai_connections_dropped_total{reason="headers"}') >= 200


async def test_slow_body():
    """F15: a body that comes a byte at a time is a 408, and its handler is told that the client is gone."""
    async with serving(Routes().rows(), limits=QUICK) as gateway:
        got = await _drip(gateway, b"POST /v1/echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n{")
        assert got.startswith(b"HTTP/1.1 408 ")
        assert gateway.count('localai_connections_dropped_total{reason="body"}') == 1


async def test_stalled_body():
    """F15: a body that began fast and stops does not live on its beginning."""
    async with serving(Routes().rows(), limits=QUICK) as gateway:
        reader, writer = await gateway.connect()
        writer.write(b"POST /v1/echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\n" + b" " * 500_000)
        assert (await _ends(reader)).startswith(b"HTTP/1.1 408 ")
        writer.close()


async def test_slow_reader():
    """F15: a reader that stops in the middle of a stream is cut, and what made the stream is closed."""
    routes = Routes()
    async with serving(routes.rows(), limits=QUICK) as gateway:
        _, writer = await gateway.connect()
        writer.transport.pause_reading()
        writer.write(request("GET", "/v1/flood"))
        await asyncio.wait_for(routes.left.wait(), 20)
        assert gateway.count('localai_connections_dropped_total{reason="write"}') == 1
        writer.transport.abort()


async def test_quiet_stream_is_not_slow():
    """A client that waits for a slow answer is not cut by any deadline."""
    routes = Routes()
    async with serving(routes.rows(), limits=QUICK) as gateway:
        reader, writer = await gateway.connect()
        writer.write(request("GET", "/v1/stream"))
        await head(reader)
        pieces = chunks(reader)
        assert await anext(pieces) == b"data: first\n\n"
        await asyncio.sleep(3 * QUICK.head_seconds)  # the deadlines that must not strike pass meanwhile
        routes.go.set()
        assert [piece async for piece in pieces] == [b"data: last\n\n"]
        writer.close()


async def test_idle():
    """F16: an idle connection is closed after its time."""
    async with serving(Routes().rows(), limits=QUICK) as gateway:
        reader, writer = await gateway.connect()
        writer.write(request("GET", "/v1/hello"))
        assert (await answer(reader)).status == 200
        assert await _ends(reader) == b""
        writer.close()


async def test_too_many():
    """F16: connections past the cap are refused with a 503 that says when to come back; later there is room again."""
    async with serving(Routes().rows(), limits=Limits(connections=20)) as gateway:
        held = [await gateway.connect() for _ in range(20)]
        for _ in range(50):
            refused = await gateway.ask("GET", "/v1/hello")
            assert refused.status == 503
            assert refused.headers["retry-after"] == "1"
        for _, writer in held:
            writer.close()
        while gateway.count("localai_connections"):
            await asyncio.sleep(0)
        assert (await gateway.ask("GET", "/v1/hello")).status == 200


async def test_idle_gives_way():
    """F16: a newcomer takes the place of an idle connection, never of a busy one."""
    routes = Routes()
    async with serving(routes.rows(), limits=Limits(connections=2)) as gateway:
        busy_reader, busy = await gateway.connect()
        busy.write(request("GET", "/v1/stream"))
        await head(busy_reader)
        idle_reader, idle = await gateway.connect()
        idle.write(request("GET", "/v1/hello"))
        await answer(idle_reader)
        assert (await gateway.ask("GET", "/v1/hello")).status == 200
        assert await _ends(idle_reader) == b""
        routes.go.set()
        assert b"last" in await asyncio.wait_for(busy_reader.readuntil(b"0\r\n\r\n"), 5)
        busy.close()
        idle.close()


def test_capacity(monkeypatch):
    """F16: the cap leaves file descriptors for everything else, so that accepting never fails for want of one."""
    for soft, expected in ((1024, 896), (256, 128), (64, 32), (20, 16)):
        monkeypatch.setattr(resource, "getrlimit", lambda _, soft=soft: (soft, 4096))
        assert server.capacity() == expected
