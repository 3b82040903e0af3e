"""Streams and attended work, against a client made of two functions."""

import asyncio
import json
from collections.abc import AsyncGenerator

import pytest
from starlette.requests import Request

from localai.api.replies import EventStream, LineStream, attended, json_reply, line
from localai.core.errors import Cancelled, EngineCrashed, Overloaded


class Client:
    """The other end: collects what is sent and disconnects when told."""

    def __init__(self) -> None:
        self.gone = asyncio.Event()
        self.status = 0
        self.pieces: list[bytes] = []
        self.ended = False

    async def receive(self) -> dict[str, str]:
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            return
        if message["body"]:
            self.pieces.append(message["body"])
        self.ended = not message["more_body"]

    async def take(self, stream: EventStream) -> None:
        await stream({"type": "http", "path": "/"}, self.receive, self.send)


async def _items(*items: bytes) -> AsyncGenerator[bytes, None]:
    for item in items:
        yield item


async def _failing(*items: bytes, error: Exception) -> AsyncGenerator[bytes, None]:
    for item in items:
        yield item
    raise error


async def test_whole_stream():
    """Items are sent in order, then the end."""
    client = Client()
    await client.take(EventStream(_items(b"a", b"b")))
    assert (client.status, client.pieces, client.ended) == (200, [b"a", b"b"], True)


async def test_empty_stream():
    """A stream without items is an empty 200."""
    client = Client()
    await client.take(EventStream(_items()))
    assert (client.status, client.pieces, client.ended) == (200, [], True)


async def test_early_error():
    """An error before the first item is raised, so that it can become an HTTP error."""
    client = Client()
    with pytest.raises(Overloaded):
        await client.take(EventStream(_failing(error=Overloaded())))
    assert client.status == 0


async def test_late_error():
    """An error after the first item ends the stream with a frame of its code."""
    client = Client()
    await client.take(EventStream(_failing(b"a", error=EngineCrashed())))
    assert client.pieces[0] == b"a"
    assert json.loads(client.pieces[1].removeprefix(b"data: "))["error"]["code"] == "engine_crashed"
    assert client.ended


async def test_late_unexpected_error():
    """An error nobody foresaw ends the stream as an internal error, in the form the dialect gives it."""
    client = Client()
    stream = EventStream(_failing(b"a", error=KeyError("canary")), on_error=lambda error: error.code.encode())
    await client.take(stream)
    assert client.pieces == [b"a", b"internal_error"]


async def test_patience():
    """After its patience a stream begins with a sign of life; an error after that is a frame."""
    go = asyncio.Event()

    async def late() -> AsyncGenerator[bytes, None]:
        await go.wait()
        raise Overloaded
        yield b""

    client = Client()
    taking = asyncio.create_task(client.take(EventStream(late(), patience=0.01, silence=0.01)))
    while len(client.pieces) < 3:
        await asyncio.sleep(0)
    assert client.status == 200
    go.set()
    await taking
    assert client.pieces[0] == b": keep-alive\n\n"
    assert b"overloaded" in client.pieces[-1]


async def test_disconnect():
    """A disconnect cancels what the stream waits for and closes it."""
    client, closed = Client(), asyncio.Event()

    async def endless() -> AsyncGenerator[bytes, None]:
        try:
            yield b"a"
            await asyncio.Event().wait()
        finally:
            closed.set()

    taking = asyncio.create_task(client.take(EventStream(endless())))
    while not client.pieces:
        await asyncio.sleep(0)
    client.gone.set()
    await taking
    assert closed.is_set()
    assert not client.ended


async def test_disconnect_from_a_generator_that_never_waits():
    """A stream that always has more stops at a disconnect all the same."""
    client, closed = Client(), asyncio.Event()

    async def flood() -> AsyncGenerator[bytes, None]:
        try:
            while True:
                client.pieces.clear()
                yield b"a"
        finally:
            closed.set()

    taking = asyncio.create_task(client.take(EventStream(flood())))
    asyncio.get_running_loop().call_later(0.01, client.gone.set)
    await asyncio.wait_for(taking, 10)
    assert closed.is_set()


async def test_lines():
    """A stream of lines fills its silences only when told how, and writes errors as lines."""
    client = Client()
    await client.take(LineStream(_failing(line({"a": 1}), error=EngineCrashed())))
    assert [json.loads(piece) for piece in client.pieces][1]["error"]["code"] == "engine_crashed"
    assert LineStream(_items())._alive == b""
    assert LineStream(_items(), alive=b"\n")._alive == b"\n"


def _request(client: Client) -> Request:
    return Request({"type": "http", "headers": []}, client.receive)


async def test_attended():
    """Attended work gives its result or raises its error."""

    async def work(error: Exception | None = None) -> int:
        if error:
            raise error
        return 5

    assert await attended(_request(Client()), work()) == 5
    with pytest.raises(Overloaded):
        await attended(_request(Client()), work(Overloaded()))


async def test_attended_until_disconnect():
    """Attended work is cancelled when the client disconnects."""
    client, entered, left = Client(), asyncio.Event(), asyncio.Event()

    async def work() -> None:
        try:
            entered.set()
            await asyncio.Event().wait()
        finally:
            left.set()

    waiting = asyncio.create_task(attended(_request(client), work()))
    await entered.wait()
    client.gone.set()
    with pytest.raises(Cancelled):
        await waiting
    assert left.is_set()


async def test_attended_is_cancelled_with_its_request():
    """Attended work does not outlive the request that waits for it."""
    entered, left = asyncio.Event(), asyncio.Event()

    async def work() -> None:
        try:
            entered.set()
            await asyncio.Event().wait()
        finally:
            left.set()

    waiting = asyncio.create_task(attended(_request(Client()), work()))
    await entered.wait()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert left.is_set()


def test_json_reply():
    """A JSON reply has its status and its headers."""
    reply = json_reply({"a": [1, "\u00e9"]}, 201, {"x-a": "b"})
    assert (reply.status_code, reply.headers["x-a"]) == (201, "b")
    assert json.loads(reply.body) == {"a": [1, "\u00e9"]}
