"""A response under way, and how its end is stored."""

import asyncio
import json

import pytest

from localai.api.responses.body import ResponseBody
from localai.api.responses.ladder import Ladder
from localai.api.responses.response import begun
from localai.api.responses.tools import Kit
from localai.api.responses.turn import Place, Turn
from localai.api.visit import Visit
from localai.core.errors import EngineCrashed, RateLimited, StorageFailed
from localai.core.event import Done, Progress, Text
from localai.core.task import ToolChoice
from localai.service.runs import Runs

ID = "resp_" + "1" * 32


class FakeStore:
    """Stores when it is let, or fails."""

    def __init__(self, fails=False):
        self.let = asyncio.Event()
        self.let.set()
        self.entered = asyncio.Event()
        self.fails = fails
        self.kept = []

    async def add(self, owner, record):
        await self.finish(owner, record)

    async def finish(self, owner, record):
        self.entered.set()
        await self.let.wait()
        if self.fails:
            raise StorageFailed
        self.kept.append(record.response["status"])
        return True


def turn(*events, store, background=False, keeps=True):
    async def stream():
        for event in events:
            await asyncio.sleep(0)
            if isinstance(event, Exception):
                raise event
            yield (event,)

    body = ResponseBody.model_validate({"input": "hi", "model": "m"})
    ladder = Ladder(begun(body, ID, "m", 5), Kit((), ToolChoice(), {}))
    place = Place("ann", [], (), keeps, background, None)
    return Turn(stream, ladder, place, store, None, Visit("req_1"))


async def told(work):
    frames = [frame async for each in work.frames() for frame in each]
    return [json.loads(frame.split(b"data: ")[1])["type"] for frame in frames]


async def test_the_end_is_stored_before_it_is_told():
    """The last event comes when the response is stored, and not before."""
    store = FakeStore()
    store.let.clear()
    work = turn(Text(text="x"), Done(), store=store)
    telling = asyncio.create_task(told(work))
    await store.entered.wait()
    await asyncio.sleep(0)
    assert (telling.done(), store.kept) == (False, [])
    store.let.set()
    assert (await telling)[-1] == "response.completed"
    assert store.kept == ["completed"]


async def test_what_cannot_be_stored_has_failed():
    """When storing fails the response says that it failed, and the stream ends."""
    assert (await told(turn(Text(text="x"), Done(), store=FakeStore(fails=True))))[-1] == "response.failed"
    with pytest.raises(StorageFailed):
        await turn(Text(text="x"), Done(), store=FakeStore(fails=True)).whole()


async def test_what_is_not_to_be_stored_is_not():
    """With `store: false` nothing reaches the store, whatever comes of it."""
    store = FakeStore()
    assert (await told(turn(Text(text="x"), Done(), store=store, keeps=False)))[-1] == "response.completed"
    assert (await told(turn(Text(text="x"), EngineCrashed(), store=store, keeps=False)))[-1] == "response.failed"
    assert store.kept == []


async def test_a_failure_before_the_first_word_is_raised():
    """What fails while it waits is an error of the request; afterwards it is told and stored."""
    store = FakeStore()
    with pytest.raises(RateLimited):
        await told(turn(Progress(stage="queued"), RateLimited(), store=store))
    assert store.kept == []
    begun_once = await told(turn(Progress(stage="prefill"), RateLimited(), store=store))
    assert (begun_once[-1], store.kept) == ("response.failed", ["failed"])


async def test_cancelling_at_the_very_end_changes_nothing():
    """A response that is cancelled while its end is being stored has ended by itself, and says so once."""
    store, runs = FakeStore(), Runs()
    store.let.clear()
    work = turn(Text(text="x"), Done(), store=store, background=True)
    journal = runs.start("ann", ID, work)
    await store.entered.wait()
    cancelling = asyncio.create_task(runs.cancel("ann", ID))
    for _ in range(5):
        await asyncio.sleep(0)
    store.let.set()
    await cancelling
    text = b"".join([piece async for piece in journal.follow(-1)])
    assert text.count(b"event: response.completed") == 1
    assert b"event: response.incomplete" not in text
    assert store.kept == ["completed"]
