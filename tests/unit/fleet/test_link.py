"""The gateway's end of a worker's socket, against a worker that the test plays by hand."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from fleets import generate
from localai import wire
from localai.core.errors import ContextLengthExceeded, EngineCrashed, ShuttingDown
from localai.core.event import Done, Failed, Text, Usage
from localai.fleet.link import Link


class Far:
    """The worker's end."""

    def __init__(self, connection: socket.socket) -> None:
        connection.setblocking(False)
        self.connection = connection
        self.frames = wire.Deframer()
        self.heard: list[wire.ToWorker] = []

    async def hear(self) -> wire.ToWorker:
        while not self.heard:
            data = await asyncio.get_running_loop().sock_recv(self.connection, 65536)
            assert data, "the gateway hung up"
            self.heard += [wire.decode_to_worker(body) for body in self.frames.feed(data)]
        return self.heard.pop(0)

    async def say(self, *messages: wire.ToGateway) -> None:
        await asyncio.get_running_loop().sock_sendall(self.connection, b"".join(map(wire.frame, messages)))


@asynccontextmanager
async def linked() -> AsyncIterator[tuple[Link, Far, list[str]]]:
    ours, theirs = socket.socketpair()
    calls: list[str] = []
    link = Link(
        on_loaded=lambda message: calls.append(type(message).__name__),
        on_beat=lambda _: calls.append("Beat"),
        on_lost=lambda: calls.append("lost"),
    )
    await asyncio.get_running_loop().create_unix_connection(lambda: link, sock=ours)
    far = Far(theirs)
    try:
        yield link, far, calls
    finally:
        link.break_off(EngineCrashed())
        theirs.close()
        await asyncio.sleep(0)


def item(stream: int, text: str) -> wire.Item:
    return wire.Item(stream=stream, event=Text(text=text))


async def test_batches():
    """Everything that came in one read is handed out in one batch, in order, Done last."""
    async with linked() as (link, far, _):
        ended: list[int] = []
        stream = await link.open(generate("x"), lambda: ended.append(1))
        assert isinstance(await far.hear(), wire.Open)
        await far.say(item(1, "a"), item(1, "b"), wire.Item(stream=1, event=Done()))
        assert await stream.batch() == (Text(text="a"), Text(text="b"), Done())
        assert ended == [1]


async def test_streams_do_not_mix():
    """Each stream gets its own events and nothing else."""
    async with linked() as (link, far, _):
        first, second = [await link.open(generate("x"), lambda: None) for _ in range(2)]
        await far.say(item(2, "two"), item(1, "one"))
        assert await first.batch() == (Text(text="one"),)
        assert await second.batch() == (Text(text="two"),)


async def test_credit():
    """Credit goes back when the reader asks for more, for at least half a window at a time."""
    async with linked() as (link, far, _):
        stream = await link.open(generate("x"), lambda: None)
        await far.hear()
        half = wire.WINDOW // 2
        await far.say(*[item(1, "x")] * half)
        got = 0
        while got < half:
            got += len(await stream.batch())
        assert not far.heard
        reading = asyncio.create_task(stream.batch())
        assert await far.hear() == wire.Credit(stream=1, items=half)
        reading.cancel()


async def test_starved():
    """A stream whose window is used up waits for its reader, so that its worker is not taken for hung."""
    async with linked() as (link, far, _):
        stream = await link.open(generate("x"), lambda: None)
        assert link.waits()
        await far.say(*[item(1, "x")] * wire.WINDOW)
        while link.waits():
            await asyncio.sleep(0)
        assert stream.starved


async def test_failed():
    """A Failed event is raised as its class, after what came before it."""
    async with linked() as (link, far, _):
        stream = await link.open(generate("x"), lambda: None)
        await far.say(item(1, "a"), wire.Item(stream=1, event=Failed(code="context_length_exceeded", message="Long.")))
        assert await stream.batch() == (Text(text="a"),)
        with pytest.raises(ContextLengthExceeded, match="Long"):
            await stream.batch()


async def test_leave():
    """Leaving cancels, gives the worker credit to end, drops what still comes, and tells when the worker is done."""
    async with linked() as (link, far, calls):
        ended: list[int] = []
        stream = await link.open(generate("x"), lambda: ended.append(1))
        await far.hear()
        await far.say(item(1, "a"))
        await stream.batch()
        stream.leave()
        assert await far.hear() == wire.Cancel(stream=1)
        assert await far.hear() == wire.Credit(stream=1, items=1)
        await far.say(item(1, "late"))
        assert await far.hear() == wire.Credit(stream=1, items=1)
        assert not ended
        await far.say(wire.Item(stream=1, event=Done()), wire.Beat(progress=1, busy=0, memory=1))
        while "Beat" not in calls:
            await asyncio.sleep(0)
        assert ended == [1]


async def test_lost_connection():
    """When the worker hangs up every stream ends with engine_crashed, and a new one is refused."""
    async with linked() as (link, far, calls):
        streams = [await link.open(generate("x"), lambda: calls.append("end")) for _ in range(3)]
        far.connection.close()
        for stream in streams:
            with pytest.raises(EngineCrashed):
                await stream.batch()
        assert calls == ["lost", "end", "end", "end"]
        with pytest.raises(EngineCrashed):
            await link.open(generate("x"), lambda: None)


async def test_answer_before_the_end_is_whole():
    """An answer whose Done arrived is not failed by what happens to the worker afterwards."""
    async with linked() as (link, far, calls):
        stream = await link.open(generate("x"), lambda: None)
        await far.say(item(1, "a"), wire.Item(stream=1, event=Done()))
        far.connection.close()
        while "lost" not in calls:
            await asyncio.sleep(0)
        assert await stream.batch() == (Text(text="a"), Done())


async def test_fail_all():
    """Failing all streams tells each reader the error and cancels each in the worker."""
    async with linked() as (link, far, _):
        stream = await link.open(generate("x"), lambda: None)
        await far.hear()
        link.fail(ShuttingDown())
        assert await far.hear() == wire.Cancel(stream=1)
        with pytest.raises(ShuttingDown):
            await stream.batch()


@pytest.mark.parametrize(
    "message",
    [item(7, "unknown stream"), wire.frame(wire.Beat(progress=0, busy=0, memory=0)).replace(b"beat", b"boot")],
)
async def test_nonsense(message: wire.ToGateway | bytes):
    """A worker that answers what was not asked, or says what is no message, is cut off."""
    async with linked() as (link, far, calls):
        stream = await link.open(generate("x"), lambda: None)
        data = message if isinstance(message, bytes) else wire.frame(message)
        await asyncio.get_running_loop().sock_sendall(far.connection, data)
        with pytest.raises(EngineCrashed, match="makes no sense"):
            await stream.batch()
        assert calls == ["lost"]


async def test_large_tasks_wait_for_a_worker_that_does_not_read():
    """While the worker does not read, further requests wait instead of piling up; a broken one lets them go."""
    async with linked() as (link, far, _):
        await link.open(generate("x" * 4_000_000), lambda: None)
        second = asyncio.create_task(link.open(generate("y"), lambda: None))
        await asyncio.sleep(0)
        assert not second.done()
        far.connection.close()
        with pytest.raises(EngineCrashed):
            await second


async def test_unread_end():
    """The end of an answer whose reader has left is kept: it tells what was generated."""
    async with linked() as (link, far, _):
        stream = await link.open(generate("x"), lambda: None)
        await far.hear()
        stream.leave()
        await far.say(item(1, "dropped"), wire.Item(stream=1, event=Done(usage=Usage(completion=3))))
        while not stream.ended:
            await asyncio.sleep(0)
        assert stream.unread == Done(usage=Usage(completion=3))
