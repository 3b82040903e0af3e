"""A request on its way through the fleet: the wait, the grant or the refusal, the stream, and the one end."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from fleets import generate
from localai import wire
from localai.core.errors import EngineCrashed, GenerationTimeout, NotEnoughMemory, Overloaded
from localai.core.event import Done, Text, Usage
from localai.fleet.link import Stream
from localai.fleet.state import Key
from localai.fleet.ticket import Stage, Ticket
from localai.fleet.worker import Worker
from puppet import Puppet, item, later, played

END = Done(usage=Usage(completion=3))


def ticket(gone: list[int] | None = None) -> Ticket:
    """A ticket that notes its number in a list when it is gone."""
    return Ticket(7, Key("a@1"), "a", lambda each: None if gone is None else gone.append(each.request))


async def told(asked: Ticket) -> list[Stage]:
    return [stage async for stage in asked.stages()]


@asynccontextmanager
async def granted(run: Path) -> AsyncGenerator[tuple[Ticket, Worker, Puppet, list[int]]]:
    gone: list[int] = []
    async with played(run) as (worker, puppet):
        asked = ticket(gone)
        asked.grant(worker)
        yield asked, worker, puppet, gone


async def ended(stream: Stream) -> None:
    while not stream.ended:
        await asyncio.sleep(0)


async def test_stages(tmp_path: Path):
    """Each stage of the wait is told once, when it begins, until the grant."""
    async with played(tmp_path) as (worker, _):
        asked = ticket()
        stages = asked.stages()
        assert await anext(stages) == "queued"
        asked.enter("queued")
        reading = asyncio.create_task(anext(stages))
        await asyncio.sleep(0)
        assert not reading.done()
        asked.enter("loading")
        assert await asyncio.wait_for(reading, 10) == "loading"
        asked.enter("loading")
        last = asyncio.create_task(anext(stages, None))
        await asyncio.sleep(0)
        assert not last.done()
        asked.grant(worker)
        assert await asyncio.wait_for(last, 10) is None
        assert await asked.wait() is worker


async def test_no_wait(tmp_path: Path):
    """A ticket that has been granted when it is first looked at tells no stage."""
    async with granted(tmp_path) as (asked, worker, _, _):
        assert not await told(asked)
        assert asked.worker is worker


async def test_refused_while_it_waits():
    """Who waits is woken by the refusal and gets its error."""
    asked = ticket()
    waiting = asyncio.create_task(asked.wait())
    await asyncio.sleep(0)
    asked.refuse(Overloaded("Full.", retry_after=3.0))
    with pytest.raises(Overloaded, match="Full") as raised:
        await asyncio.wait_for(waiting, 10)
    assert raised.value.retry_after == 3.0


async def test_refused_before_it_waits():
    """A refusal that was there first is raised at once, without a stage."""
    asked = ticket()
    asked.refuse(NotEnoughMemory())
    with pytest.raises(NotEnoughMemory):
        await told(asked)


async def test_close_while_it_waits():
    """A ticket closed before it has a stream is gone, and that is told once."""
    gone: list[int] = []
    asked = ticket(gone)
    asked.close()
    asked.close()
    assert gone == [7]


async def test_close_after_the_refusal():
    """The fleet, which refused it, is not told of its end."""
    gone: list[int] = []
    asked = ticket(gone)
    asked.refuse(Overloaded())
    asked.close()
    assert not gone


async def test_open(tmp_path: Path):
    """The task goes to the granted worker, its answer comes back, and at its end the ticket is gone, once."""
    async with granted(tmp_path) as (asked, _, puppet, gone):
        stream = await asked.open(generate("x"), 60.0)
        assert await puppet.hear() == wire.Open(stream=1, task=generate("x"))
        puppet.say(item(1, "a"))
        assert await stream.batch() == (Text(text="a"),)
        assert not gone
        puppet.say(wire.Item(stream=1, event=END))
        assert await stream.batch() == (END,)
        assert gone == [7]
        asked.close()
        assert gone == [7]


async def test_open_waits_for_the_grant(tmp_path: Path):
    """A ticket may be opened before it is granted; who is refused has no stream."""
    async with played(tmp_path) as (worker, _):
        asked, other = ticket(), ticket()
        opening = asyncio.create_task(asked.open(generate("x"), 60.0))
        await asyncio.sleep(0)
        assert not opening.done()
        asked.grant(worker)
        assert (await asyncio.wait_for(opening, 10)).number == 1
        other.refuse(Overloaded())
        with pytest.raises(Overloaded):
            await other.open(generate("x"), 60.0)


async def test_worker_died_before_the_open(tmp_path: Path):
    """Opening on a worker that died meanwhile raises; the ticket is gone when it is closed."""
    async with granted(tmp_path) as (asked, worker, _, gone):
        worker.kill(EngineCrashed())
        with pytest.raises(EngineCrashed):
            await asked.open(generate("x"), 60.0)
        assert not gone
        asked.close()
        assert gone == [7]


async def test_close_cancels(tmp_path: Path):
    """Closing cancels the task; the ticket is gone when the worker is done, after it told what the worker said last."""
    async with granted(tmp_path) as (asked, _, puppet, gone):
        unread: list[tuple[Done, int]] = []
        asked.on_unread = lambda done: unread.append((done, len(gone)))
        stream = await asked.open(generate("x"), 60.0)
        await puppet.hear()
        asked.close()
        asked.close()
        assert await puppet.hear() == wire.Cancel(stream=1)
        assert not gone
        puppet.say(wire.Item(stream=1, event=END))
        await ended(stream)
        assert gone == [7]
        assert unread == [(END, 0)]


async def test_nothing_unread(tmp_path: Path):
    """An end that the reader has read is not told again, and a worker that dies tells none."""
    async with granted(tmp_path) as (asked, worker, puppet, gone):
        unread: list[Done] = []
        asked.on_unread = unread.append
        stream = await asked.open(generate("x"), 60.0)
        puppet.say(wire.Item(stream=1, event=END))
        await stream.batch()
        asked.close()
        other = ticket(gone)
        other.on_unread = unread.append
        other.grant(worker)
        await other.open(generate("x"), 60.0)
        other.close()
        worker.kill(EngineCrashed())
        assert gone == [7, 7]
        assert not unread


async def test_expiry(tmp_path: Path):
    """An answer that takes longer than its time ends with an error for the reader, and is cancelled in the worker."""
    async with granted(tmp_path) as (asked, _, puppet, gone):
        stream = await asked.open(generate("x"), 60.0)
        await puppet.hear()
        later(59.0)
        puppet.say(item(1, "a"))
        assert await stream.batch() == (Text(text="a"),)
        later(1.0)
        with pytest.raises(GenerationTimeout, match=r"longer than 60 seconds \(the setting `request_timeout`\)"):
            await stream.batch()
        assert await puppet.hear() == wire.Cancel(stream=1)
        assert not gone
        puppet.say(wire.Item(stream=1, event=END))
        await ended(stream)
        assert gone == [7]


async def test_a_closed_ticket_does_not_expire(tmp_path: Path):
    """Once it is closed the ticket's time does not run any more."""
    async with granted(tmp_path) as (asked, _, _, _):
        stream = await asked.open(generate("x"), 60.0)
        asked.close()
        later(61.0)
        reading = asyncio.create_task(stream.batch())
        await asyncio.sleep(0.01)
        assert not reading.done()
        reading.cancel()
