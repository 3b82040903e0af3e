"""Batches: whatever happens between two writes, each line has one result and each file is made once."""

import asyncio
import json
from pathlib import Path
from typing import cast

import pytest

from localai.core.caller import Caller
from localai.core.errors import Conflict, NotFound, RateLimited
from localai.service import batches as module
from localai.service.batches import Batches
from localai.service.driver import Write
from localai.service.files import Files
from localai.service.runner import Performer
from localai.storage.database import Database
from localai.storage.lines import Line
from localai.storage.objects import Stored
from storing import Clock, Dying, pieces

ANN = Caller(id="k", owner="ann", scopes=frozenset({"infer"}), models=("echo",))
URL = "/x"


async def answer(caller: Caller, body: bytes) -> bytes:
    assert caller == ANN
    return body


def written(line: Line, batch: str) -> bytes:
    return json.dumps([batch, line.name, line.state]).encode()


class House:
    """Batches over one database file; `open` is what a new start does."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.clock = Clock()
        self.asked: list[bytes] = []

    async def open(
        self,
        database: Database | Dying,
        perform: Performer = answer,
        write: Write | None = written,
        kind: str = "batch",
    ) -> Batches:
        database = cast("Database", database)
        self.files = Files(database, self.folder / "files", limit=10**6, quota=10**6, reserve=0, clock=self.clock)

        async def noted(caller: Caller, body: bytes) -> bytes:
            self.asked.append(body)
            return await perform(caller, body)

        async def pause(_seconds: float) -> None:
            await asyncio.Event().wait()

        batches = Batches(
            database=database,
            files=self.files,
            performers={URL: noted},
            write=write,
            kind=kind,
            clock=self.clock,
            pause=pause,
        )
        await batches.start()
        return batches

    async def file(self, count: int) -> str:
        lines = [
            json.dumps({"custom_id": f"n{number}", "method": "POST", "url": URL, "body": {"n": number}})
            for number in range(count)
        ]
        return (await self.files.add("ann", "in", "batch", pieces("\n".join(lines).encode(), 50))).id

    async def results(self, stored: Stored) -> list[list[str]]:
        data = await self.files.read("ann", stored.payload["output"], 10**6)
        return [json.loads(line) for line in data.splitlines()]


async def ended(batches: Batches, identifier: str) -> Stored:
    async with asyncio.timeout(20):
        while (stored := await batches.get("ann", identifier)).state in module.OPEN:
            await asyncio.sleep(0.005)
    return stored


@pytest.fixture
def house(tmp_path: Path):
    return House(tmp_path)


@pytest.fixture
async def database(tmp_path: Path):
    opened = await Database.open(tmp_path / "state.db")
    yield opened
    await opened.close()


@pytest.mark.parametrize("after", [False, True])
async def test_a_death_at_any_write(house: House, database: Database, after: bool):
    """Wherever a server dies, before or after a write, the next one ends the batch: one result each, one file."""
    deaths, dying = 0, Dying(database, 0, after=after)
    for writes in range(60):
        batches = await house.open(database)
        file = await house.file(3)
        await batches.stop()
        dying = Dying(database, writes, after=after)
        mortal = await house.open(dying)
        try:
            stored = await mortal.add(ANN, URL, file=file, window=1000, details={})
        except Exception:  # noqa: BLE001 - it died before the client had an answer
            assert writes <= 1
            await mortal.stop()
            alive = await house.open(database)
            for each in (await alive.page("ann", limit=1000))[0]:
                assert (await ended(alive, each.id)).state == "completed"
            await alive.stop()
            continue
        async with asyncio.timeout(20):
            while not dying.died and (await batches.get("ann", stored.id)).state in module.OPEN:
                await asyncio.sleep(0.002)
        await mortal.stop()
        deaths += dying.died
        alive = await house.open(database)
        done = await ended(alive, stored.id)
        await alive.stop()
        assert done.state == "completed", writes
        assert done.payload["counts"] == {"done": 3}
        assert await house.results(done) == [[stored.id, f"n{number}", "done"] for number in range(3)]
        outputs, _ = await house.files.page("ann", purpose="batch_output", limit=1000)
        assert len([each for each in outputs if stored.id in each.payload["filename"]]) == 1
        if not dying.died:
            break
    assert deaths >= 8
    assert not dying.died


async def test_nothing_is_asked_again_that_has_a_result(house: House, database: Database):
    """After a restart only the lines without a result are asked."""
    go = asyncio.Event()

    async def half(caller: Caller, body: bytes) -> bytes:
        if json.loads(body)["n"] >= 5:
            await go.wait()
        return body

    first = await house.open(database, half)
    stored = await first.add(ANN, URL, file=await house.file(9), window=1000, details={})
    async with asyncio.timeout(20):
        while (await first.counts(await first.get("ann", stored.id))).get("done", 0) < 5:
            await asyncio.sleep(0.005)
    await first.stop()
    house.asked.clear()
    second = await house.open(database)
    done = await ended(second, stored.id)
    await second.stop()
    assert sorted(json.loads(body)["n"] for body in house.asked) == [5, 6, 7, 8]
    assert done.payload["counts"] == {"done": 9}


async def test_an_input_file_that_is_gone(house: House, database: Database):
    """A batch whose file is deleted before it was read fails, and says so; one that was read goes on without it."""
    batches = await house.open(database)
    file = await house.file(2)
    await batches.stop()
    stopped = await house.open(database)
    await stopped.stop()
    adding = await stopped.add(ANN, URL, file=file, window=1000, details={})
    await stopped.stop()
    await house.files.remove("ann", file)
    batches = await house.open(database)
    failed = await ended(batches, adding.id)
    await batches.stop()
    assert failed.state == "failed"
    assert [mistake["code"] for mistake in failed.payload["errors"]] == ["file_not_found"]


async def test_requests_without_a_file(house: House, database: Database):
    """Requests may come with the batch itself; their results are then kept with it, in order, until it goes."""
    batches = await house.open(database, write=None, kind="msgbatch")
    many = [(f"n{number}", json.dumps({"n": number})) for number in range(250)]
    stored = await batches.add(ANN, URL, requests=many, window=1000, details={"note": "x"})
    assert stored.id.startswith("msgbatch_")
    done = await ended(batches, stored.id)
    assert (done.state, done.payload["note"]) == ("completed", "x")
    lines = [line async for line in batches.results("ann", stored.id)]
    assert [line.name for line in lines] == [name for name, _ in many]
    assert json.loads(lines[7].result or "")["body"] == {"n": 7}
    assert [line async for line in batches.results("ann", stored.id, ("failed",))] == []
    with pytest.raises(NotFound):
        await anext(batches.results("bob", stored.id))
    await batches.remove("ann", stored.id)
    assert await batches.counts(done) == {"done": 250}
    with pytest.raises(NotFound):
        await batches.get("ann", stored.id)
    assert (await house.files.page("ann"))[0] == []
    await batches.stop()


async def test_a_window_that_closed_while_nobody_was_there(house: House, database: Database):
    """A batch whose time ended while the server was off is expired at the next start, with what it has."""

    async def never(caller: Caller, body: bytes) -> bytes:
        await asyncio.Event().wait()
        return body

    first = await house.open(database, never)
    stored = await first.add(ANN, URL, file=await house.file(3), window=1000, details={})
    async with asyncio.timeout(20):
        while not house.asked:
            await asyncio.sleep(0.005)
    await first.stop()
    house.clock.now += 1001
    second = await house.open(database, never)
    done = await ended(second, stored.id)
    await second.stop()
    assert (done.state, done.payload["counts"], done.payload["output"]) == ("expired", {"expired": 3}, None)


async def test_cancel_and_restart(house: House, database: Database):
    """A batch that was being cancelled when the server died is cancelled by the next."""

    async def never(caller: Caller, body: bytes) -> bytes:
        await asyncio.Event().wait()
        return body

    first = await house.open(database, never)
    stored = await first.add(ANN, URL, file=await house.file(3), window=1000, details={})
    async with asyncio.timeout(20):
        while not house.asked:
            await asyncio.sleep(0.005)
    await first.stop()
    assert (await first.cancel("ann", stored.id)).state == "cancelling"
    with pytest.raises(Conflict):
        await first.remove("ann", stored.id)
    second = await house.open(database)
    done = await ended(second, stored.id)
    await second.stop()
    assert (done.state, done.payload["counts"]) == ("cancelled", {"cancelled": 3})
    assert (await second.cancel("ann", stored.id)).state == "cancelled"


async def test_a_batch_that_waits_for_its_turn_is_cancelled_at_once(house: House, database: Database):
    """With as many batches under way as may be, another one waits, and can be cancelled while it does."""
    go = asyncio.Event()

    async def held(caller: Caller, body: bytes) -> bytes:
        await go.wait()
        return body

    batches = await house.open(database, held)
    file = await house.file(1)
    made = [await batches.add(ANN, URL, file=file, window=1000, details={}) for _ in range(6)]
    async with asyncio.timeout(20):
        while len(house.asked) < 4:
            await asyncio.sleep(0.005)
    waiting = made[5].id
    await batches.cancel("ann", waiting)
    assert (await ended(batches, waiting)).state == "cancelled"
    assert len(house.asked) == 4
    go.set()
    assert [(await ended(batches, each.id)).state for each in made[:5]] == ["completed"] * 5
    await batches.stop()


async def test_an_owner_has_so_many_batches_under_way(
    house: House, database: Database, monkeypatch: pytest.MonkeyPatch
):
    """One more than may be under way is refused; another owner is not touched by that."""
    monkeypatch.setattr(module, "UNFINISHED", 1)

    async def never(caller: Caller, body: bytes) -> bytes:
        await asyncio.Event().wait()
        return body

    batches = await house.open(database, never)
    file = await house.file(1)
    await batches.add(ANN, URL, file=file, window=1000, details={})
    with pytest.raises(RateLimited):
        await batches.add(ANN, URL, file=file, window=1000, details={})
    bob = Caller(id="b", owner="bob")
    await batches.add(bob, URL, requests=[("a", "{}")], window=1000, details={})
    await batches.stop()
