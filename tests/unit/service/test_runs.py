"""Runs: work without its client."""

import asyncio

import pytest

from localai.core.errors import Overloaded
from localai.service import runs as module
from localai.service.runs import Runs


class Fixed:
    """Says some frames, each when it is let."""

    def __init__(self, *frames, fails=None):
        self.gate = asyncio.Semaphore(0)
        self.left = list(frames)
        self.fails = fails
        self.ended = False
        self.cancels = 0
        self.response = {"id": "r"}

    async def frames(self):
        try:
            for frame in self.left:
                await self.gate.acquire()
                yield [frame]
            if self.fails:
                raise self.fails
        finally:
            self.ended = True

    async def cancelled(self):
        self.cancels += 1
        return [b"cancelled"]


def release(work, count):
    for _ in range(count):
        work.gate.release()


async def read_all(journal):
    return b"".join([piece async for piece in journal.follow(-1)])


async def test_a_run_ends_without_a_reader_and_is_read_afterwards():
    """A run goes on by itself; its journal can be read during it and after it, by its owner's key only."""
    runs, work = Runs(), Fixed(b"b", b"c")
    journal = runs.start("ann", "r", work, [b"a"])
    assert runs.running("ann", "r") is work
    assert runs.running("bob", "r") is None
    assert runs.journal("bob", "r") is None
    release(work, 2)
    assert await read_all(journal) == b"abc"
    await asyncio.sleep(0)
    assert runs.running("ann", "r") is None
    assert await read_all(runs.journal("ann", "r")) == b"abc"
    runs.forget("ann", "r")
    assert runs.journal("ann", "r") is None


async def test_a_cancelled_run_stops_and_says_so_last():
    """Cancelling ends the work, lets it store that, and closes the journal; doing it twice changes nothing."""
    runs, work = Runs(), Fixed(b"a", b"b")
    journal = runs.start("ann", "r", work)
    release(work, 1)
    await anext(journal.follow(-1))
    await asyncio.gather(runs.cancel("ann", "r"), runs.cancel("ann", "r"))
    assert (work.ended, work.cancels) == (True, 1)
    assert await read_all(journal) == b"acancelled"
    await runs.cancel("ann", "r")
    assert runs.running("ann", "r") is None


async def test_a_run_that_breaks_ends_its_journal():
    """Whatever a run dies of, its readers come to an end and others go on."""
    runs, work = Runs(), Fixed(b"a", fails=RuntimeError("boom"))
    journal = runs.start("ann", "r", work)
    release(work, 1)
    assert await read_all(journal) == b"a"
    assert work.cancels == 0


async def test_stopping_waits_for_runs_and_ends_the_rest():
    """At shutdown runs that end in time do; the others end as they are, and are not called cancelled."""
    runs, works = Runs(), [Fixed(b"a") for _ in range(3)]
    journals = [runs.start("ann", str(place), work) for place, work in enumerate(works)]
    await asyncio.sleep(0)
    stopping = asyncio.create_task(runs.stop(patience=0.05))
    await asyncio.sleep(0)
    release(works[0], 1)
    await stopping
    assert [await read_all(journal) for journal in journals] == [b"a", b"", b""]
    assert [(work.ended, work.cancels) for work in works] == [(True, 0)] * 3
    await runs.stop()


async def test_runs_and_journals_are_bounded(monkeypatch):
    """Too many runs are refused with the time to come back; of the finished ones only the last are kept."""
    monkeypatch.setattr(module, "RUNNING", 2)
    monkeypatch.setattr(module, "KEPT", 3)
    runs = Runs()
    works = [Fixed(b"a"), Fixed(b"a")]
    for place, work in enumerate(works):
        runs.check()
        runs.start("ann", str(place), work)
    with pytest.raises(Overloaded) as caught:
        runs.check()
    assert caught.value.retry_after
    for place in range(2, 7):
        works.append(Fixed(b"a"))
        runs.start("ann", str(place), works[-1])
    for place, work in enumerate(works):
        journal = runs.journal("ann", str(place))
        release(work, 1)
        await read_all(journal)
        await asyncio.sleep(0)
    assert [runs.journal("ann", str(place)) is not None for place in range(7)] == [False] * 4 + [True] * 3
    monkeypatch.setattr(module, "BYTES", 1)
    runs.start("ann", "x", big := Fixed(b"aa"))
    journal = runs.journal("ann", "x")
    release(big, 1)
    await read_all(journal)
    await asyncio.sleep(0)
    assert runs.journal("ann", "x") is None
