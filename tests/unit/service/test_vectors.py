"""Vector stores: attaching files, reading them in the background, searching."""

import asyncio
import contextlib
from pathlib import Path

import pytest

from echoing import FakePerform, echo
from localai.core.caller import Caller
from localai.core.errors import (
    Conflict,
    EngineCrashed,
    InvalidRequest,
    ModelNotFound,
    NotFound,
    PayloadTooLarge,
    ShuttingDown,
)
from localai.service import attached as attached_module
from localai.service import ingest as ingest_module
from localai.service import stores as stores_module
from localai.service.attached import Attachment
from localai.service.chunking import Rule
from localai.service.files import Files
from localai.service.filters import Comparison
from localai.service.ranking import Weights
from localai.service.vectors import Vectors
from localai.storage.database import Database

ANN = Caller(id="ann", owner="ann", scopes=frozenset(("infer",)))
BOB = Caller(id="bob", owner="bob", scopes=frozenset(("infer",)))
DAY = 86400
SMALL = Rule(size=100, overlap=0)


class Stubborn(FakePerform):
    """Echo, whose embeddings fail as often as told, and wait while `held`."""

    def __init__(self, *models):
        super().__init__(*models)
        self.errors = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.reached = asyncio.Event()
        self.embedded = 0

    async def whole(self, caller, model, task, *, background=False):
        if background:
            self.reached.set()
            await self.gate.wait()
            if self.errors:
                raise self.errors.pop(0)
            self.embedded += len(task.inputs)
        return await super().whole(caller, model, task, background=background)


class House:
    """Vector stores on a real database with real files, and a clock."""

    def __init__(self, folder: Path, database: Database) -> None:
        self.now = 1_000_000.0
        self.database = database
        self.perform = Stubborn(echo("echo", tasks=("embed",)))
        self.files = Files(database, folder / "files", limit=2**20, quota=2**24)
        self.vectors = self.anew()

    def anew(self) -> Vectors:
        self.vectors = Vectors(database=self.database, files=self.files, perform=self.perform, clock=lambda: self.now)
        self.vectors._ingest._pause = lambda _seconds: asyncio.sleep(0)
        return self.vectors

    async def file(self, text: str | bytes, name: str = "a.txt", owner: str = "ann") -> str:
        async def chunks():
            yield text.encode() if isinstance(text, str) else text

        return (await self.files.add(owner, name, "assistants", chunks())).id

    async def store(self, caller: Caller = ANN, **more):
        asked = {"name": "s", "description": None, "metadata": {}, "days": None, "model": None} | more
        return await self.vectors.stores.create(caller, **asked)

    async def add(self, store, *files: str, **more):
        await self.vectors.attach(ANN, store, [Attachment(file=file, **more) for file in files])

    async def state(self, store, file: str):
        return await self.vectors.attached.get("ann", store.id, file)

    async def settled(self, store) -> None:
        """Return once nothing of a store is in progress."""
        async with asyncio.timeout(30):
            while "in_progress" in await self.vectors.attached.counts("ann", store.id):
                await asyncio.sleep(0.005)

    async def chunks(self, store) -> int:
        pages = self.vectors._search._chunks.pages("ann", store.id)
        return sum([len(page) async for page in pages])


@pytest.fixture
async def house(tmp_path: Path):
    database = await Database.open(tmp_path / "state.db")
    house = House(tmp_path, database)
    await house.vectors.start()
    yield house
    await house.vectors.stop()
    await database.close()


async def test_a_file_is_read_and_found(house: House):
    """An attached file is in progress, then completed with what it takes, and its chunks are found by a query."""
    store, file = await house.store(), await house.file("Cats purr.\n\nDogs bark.", "pets.md")
    await house.add(store, file)
    await house.settled(store)
    stored = await house.state(store, file)
    assert stored.state == "completed"
    assert stored.payload["pieces"] == 1
    assert stored.payload["usage_bytes"] == len("Cats purr.\n\nDogs bark.") + 8 * 4
    assert stored.payload["rule"] == [800, 400]
    (found,) = await house.vectors.search(ANN, [store.id], "Do dogs bark?")
    assert (found.file, found.filename, found.text) == (file, "pets.md", "Cats purr.\n\nDogs bark.")
    assert 0 < found.score <= 1
    assert await house.vectors.content(stored) == "Cats purr.\n\nDogs bark."
    assert (await house.vectors.stores.get("ann", store.id)).payload["dimensions"] == 8


async def test_the_exact_text_is_the_nearest(house: House):
    """By vectors alone the chunk whose text is the query comes first, with the score 1."""
    store = await house.store()
    texts = [f"text number {number}" for number in range(20)]
    await house.add(store, *[await house.file(text) for text in texts])
    await house.settled(store)
    found = await house.vectors.search(ANN, [store.id], texts[7], weights=Weights(plain=True), limit=3)
    assert found[0].text == texts[7]
    assert found[0].score == pytest.approx(1, abs=1e-6)
    assert len(found) <= 3
    several = await house.vectors.search(ANN, [store.id], [texts[3], texts[4]], weights=Weights(plain=True), limit=2)
    assert {each.text for each in several} == {texts[3], texts[4]}


async def test_filters_and_thresholds(house: House):
    """Only files that meet the condition are found, by attributes as they are now, or by their name."""
    store = await house.store()
    first, second = await house.file("cats", "one.txt"), await house.file("cats too", "two.txt")
    await house.add(store, first, attributes={"year": 2020})
    await house.add(store, second, attributes={"year": 2024})
    await house.settled(store)

    async def found(condition, **more):
        return {each.file for each in await house.vectors.search(ANN, [store.id], "cats", condition=condition, **more)}

    late = Comparison(kind="gt", key="year", values=(2021,))
    assert await found(late) == {second}
    await house.vectors.describe(await house.state(store, first), {"year": 2030})
    assert await found(late) == {first, second}
    assert await found(Comparison(kind="eq", key="filename", values=("one.txt",))) == {first}
    assert await found(None, threshold=0.999) == {first} or await found(None, threshold=0.999) == {second}


@pytest.mark.parametrize(
    ("data", "name", "code"),
    [(b"%PDF-1.4", "a.pdf", "unsupported_file"), (b"  \n", "a.txt", "invalid_file"), (b"", "a.txt", "invalid_file")],
)
async def test_a_file_that_cannot_be_read_fails(house: House, data: bytes, name: str, code: str):
    """A file that is not text, or holds none, fails with an error that says so; the others of its store do not."""
    store = await house.store()
    bad, good = await house.file(data, name), await house.file("fine")
    await house.add(store, bad, good)
    await house.settled(store)
    failed = await house.state(store, bad)
    assert (failed.state, failed.payload["error"][0]) == ("failed", code)
    assert (await house.state(store, good)).state == "completed"
    with pytest.raises(Conflict, match="failed"):
        await house.vectors.content(failed)


async def test_a_busy_model_is_asked_again(house: House):
    """A model that crashes or is busy is asked again; one that fails for good, or too often, fails the file."""
    store = await house.store()
    for errors, state in (([EngineCrashed()] * 3, "completed"), ([EngineCrashed()] * 5, "failed")):
        house.perform.errors = [*errors]
        file = await house.file(f"text {len(errors)}")
        await house.add(store, file)
        await house.settled(store)
        assert (await house.state(store, file)).state == state
    assert (await house.state(store, file)).payload["error"][0] == "server_error"
    assert await house.chunks(store) == 1


async def test_an_unforeseen_error_fails_one_file(house: House):
    """An error that nobody foresaw ends one file, tells nothing of itself, and the next file is read."""
    store = await house.store()
    house.perform.errors = [RuntimeError("secret")]
    bad, good = await house.file("one"), await house.file("two")
    await house.add(store, bad, good)
    await house.settled(store)
    assert "secret" not in str((await house.state(store, bad)).payload)
    assert (await house.state(store, good)).state == "completed"


async def test_reading_goes_on_after_a_stop(house: House):
    """What a stopped server left unfinished is taken up by the next, from the chunk after the last that was stored."""
    store = await house.store()
    file = await house.file("\n\n".join(f"Paragraph {number}. " + "word " * 60 for number in range(40)))
    house.perform.errors = []
    house.perform.gate.clear()
    await house.add(store, file, rule=SMALL)
    await house.perform.reached.wait()
    house.perform.gate.set()
    async with asyncio.timeout(30):
        while not 0 < await house.chunks(store) < 40:
            await asyncio.sleep(0)
    await house.vectors.stop()
    before = await house.chunks(store)
    assert (await house.state(store, file)).state == "in_progress"
    house.perform.embedded = 0
    await house.anew().start()
    await house.settled(store)
    total = (await house.state(store, file)).payload["pieces"]
    assert await house.chunks(store) == total > before
    assert house.perform.embedded == total - before


async def test_a_server_that_leaves_fails_nothing(house: House):
    """When the engines are shutting down, files stay in progress for the next start."""
    store, file = await house.store(), await house.file("text")
    house.perform.errors = [ShuttingDown()]
    await house.add(store, file)
    async with asyncio.timeout(30):
        await house.vectors._ingest._task
    assert (await house.state(store, file)).state == "in_progress"
    await house.anew().start()
    await house.settled(store)
    assert (await house.state(store, file)).state == "completed"


async def test_a_batch_is_counted_and_cancelled(house: House):
    """A batch shows its own files; cancelling stops those in progress, keeps the others, and leaves no chunks."""
    store = await house.store()
    done = await house.file("before")
    await house.add(store, done)
    await house.settled(store)
    house.perform.gate.clear()
    house.perform.reached.clear()
    files = [await house.file(f"text {number}") for number in range(3)]
    batch = await house.vectors.begin(ANN, store, [Attachment(file=file) for file in files])
    await house.perform.reached.wait()
    assert await house.vectors.attached.counts("ann", store.id, batch.id) == {"in_progress": (3, 0)}
    cancelled = await house.vectors.attached.cancel(batch)
    house.perform.gate.set()
    assert cancelled.state == "cancelled"
    assert set(await house.vectors.attached.counts("ann", store.id, batch.id)) == {"cancelled"}
    later = await house.file("later")
    await house.add(store, later)
    await house.settled(store)
    assert set(await house.vectors.attached.counts("ann", store.id)) == {"cancelled", "completed"}
    assert await house.chunks(store) == 2
    again = await house.vectors.attached.cancel(batch)
    assert again.state == "cancelled"


async def test_a_finished_batch_is_not_cancelled(house: House):
    """Cancelling a batch of which everything is read changes nothing."""
    store = await house.store()
    batch = await house.vectors.begin(ANN, store, [Attachment(file=await house.file("x"))])
    await house.settled(store)
    assert (await house.vectors.attached.cancel(batch)).state == "in_progress"
    assert set(await house.vectors.attached.counts("ann", store.id, batch.id)) == {"completed"}


async def test_detached_in_the_middle(house: House):
    """A file that is taken out while it is read leaves nothing, and can be attached again."""
    store, file = await house.store(), await house.file("text")
    house.perform.gate.clear()
    await house.add(store, file)
    await house.perform.reached.wait()
    await house.vectors.detach("ann", store.id, file)
    await house.add(store, file, attributes={"again": True})
    house.perform.gate.set()
    await house.settled(store)
    assert (await house.state(store, file)).payload["attributes"] == {"again": True}
    assert await house.chunks(store) == 1
    await house.vectors.detach("ann", store.id, file)
    assert await house.chunks(store) == 0
    assert await house.vectors.search(ANN, [store.id], "text") == []
    with pytest.raises(NotFound):
        await house.vectors.detach("ann", store.id, file)


async def test_deleted_files_are_not_found(house: House):
    """A file that its owner deleted is found no more, and leaves the store with the first search that meets it."""
    store = await house.store()
    gone, kept = await house.file("cats purr"), await house.file("cats sleep")
    await house.add(store, gone, kept)
    await house.settled(store)
    await house.files.remove("ann", gone)
    assert [each.file for each in await house.vectors.search(ANN, [store.id], "cats")] == [kept]
    with pytest.raises(NotFound):
        await house.state(store, gone)


async def test_deleted_files_leave_their_stores(house: House):
    """A file that its owner deleted leaves its stores by itself, with its chunks, at the reader's next round."""
    store = await house.store()
    gone, kept = await house.file("cats purr"), await house.file("cats sleep")
    await house.add(store, gone)
    await house.settled(store)
    await house.files.remove("ann", gone)
    await house.add(store, kept)
    await house.settled(store)
    assert await house.vectors.attached.counts("ann", store.id) == {"completed": (1, len("cats sleep") + 32)}
    assert await house.chunks(store) == 1


async def test_stores_belong_to_their_owner(house: House):
    """Another owner's store is not there: not to be seen, searched or filled; and neither is another's file."""
    store, file = await house.store(), await house.file("text")
    for attempt in (
        house.vectors.stores.get("bob", store.id),
        house.vectors.search(BOB, [store.id], "text"),
        house.vectors.attached.get("bob", store.id, file),
        house.vectors.detach("bob", store.id, file),
    ):
        with pytest.raises(NotFound):
            await attempt
    theirs = await house.store(BOB)
    with pytest.raises(NotFound, match=file):
        await house.vectors.attach(BOB, theirs, [Attachment(file=file)])
    assert await house.vectors.attached.counts("bob", theirs.id) == {}


async def test_a_store_ends_unless_it_is_used(house: House):
    """A store with an expiry goes so many days after it was last used, with its chunks; one without stays."""
    kept, brief = await house.store(), await house.store(days=1)
    await house.add(brief, await house.file("text"))
    await house.settled(brief)
    house.now += DAY - 100
    await house.vectors.search(ANN, [brief.id], "text")
    house.now += DAY - 100
    brief = await house.vectors.stores.get("ann", brief.id)
    house.now += 200
    with pytest.raises(NotFound):
        await house.vectors.stores.get("ann", brief.id)
    assert await house.vectors.stores.expire() == [brief.id]
    assert await house.chunks(brief) == 0
    assert (await house.vectors.stores.get("ann", kept.id)).id == kept.id


async def test_an_expiry_can_be_taken_back(house: House):
    """A store whose expiry is removed stays."""
    store = await house.store(days=1)
    await house.vectors.stores.update(store, {"days": None, "name": "kept"})
    house.now += 400 * DAY
    assert (await house.vectors.stores.get("ann", store.id)).payload["name"] == "kept"


async def test_removing_a_store_leaves_nothing(house: House):
    """With a store its files and chunks go; the files themselves stay."""
    store, file = await house.store(), await house.file("text")
    await house.add(store, file)
    await house.settled(store)
    await house.vectors.remove(store)
    assert await house.chunks(store) == 0
    with pytest.raises(NotFound):
        await house.state(store, file)
    assert (await house.files.get("ann", file)).id == file


async def test_the_model_of_a_store(house: House):
    """A store keeps its model; one that asks for an unknown model is refused, and one without any waits for it."""
    with pytest.raises(ModelNotFound):
        await house.store(model="nothing")
    store = await house.store(model="echo")
    assert store.payload["model"] == "echo"

    def nothing(*_):
        raise ModelNotFound

    house.perform.choose, known = nothing, house.perform.choose
    later, file = await house.store(), await house.file("text")
    assert later.payload["model"] is None
    await house.add(later, file)
    await house.settled(later)
    assert (await house.state(later, file)).state == "failed"
    house.perform.choose = known
    await house.add(later, file)
    await house.settled(later)
    assert (await house.state(later, file)).state == "completed"
    assert (await house.vectors.stores.get("ann", later.id)).payload["model"] == "echo"


async def test_a_model_that_changed_is_noticed(house: House):
    """A model that gives vectors of another length fails files and searches of the store, with what to do."""
    store = await house.store()
    await house.add(store, await house.file("text"))
    await house.settled(store)
    house.perform._engines["echo"]._options["dimensions"] = 4
    file = await house.file("more")
    await house.add(store, file)
    await house.settled(store)
    assert "make a new vector store" in (await house.state(store, file)).payload["error"][1]
    with pytest.raises(InvalidRequest, match="make a new one"):
        await house.vectors.search(ANN, [store.id], "text")


async def test_bounds(house: House, monkeypatch: pytest.MonkeyPatch):
    """Stores of an owner, files and chunks of a store, and chunks of an owner are bounded."""
    store = await house.store()
    monkeypatch.setattr(stores_module, "COUNT", 1)
    with pytest.raises(PayloadTooLarge):
        await house.store()
    monkeypatch.setattr(attached_module, "COUNT", 1)
    files = [await house.file(f"{number} " + "word " * 200) for number in range(2)]
    with pytest.raises(PayloadTooLarge):
        await house.add(store, *files)
    with pytest.raises(Conflict):
        await house.add(store, files[0], files[0])
    monkeypatch.setattr(attached_module, "COUNT", 10)
    for bound in ("PIECES", "OWNED"):
        with monkeypatch.context() as patch:
            patch.setattr(ingest_module, bound, 1)
            await house.add(store, files[0], rule=SMALL)
            await house.settled(store)
            assert (await house.state(store, files[0])).payload["error"][0] == "invalid_file"


async def test_owners_take_turns(house: House):
    """With much to read for one owner, another's first file comes next."""
    house.perform.gate.clear()
    store, theirs = await house.store(), await house.store(BOB)
    await house.add(store, *[await house.file(f"text {number}") for number in range(5)])
    await house.perform.reached.wait()
    await house.vectors.attach(BOB, theirs, [Attachment(file=await house.file("theirs", owner="bob"))])
    house.perform.gate.set()
    async with asyncio.timeout(30):
        while "in_progress" in await house.vectors.attached.counts("bob", theirs.id):
            await asyncio.sleep(0)
    assert (await house.vectors.attached.counts("ann", store.id)).get("completed", (0, 0))[0] < 5
    await house.settled(store)


async def test_an_index_is_built_once_and_kept_within_bounds(house: House, monkeypatch: pytest.MonkeyPatch):
    """Searches at the same time share one index, later ones use it, and what does not fit the memory is not kept."""
    store = await house.store()
    await house.add(store, await house.file("text"))
    await house.settled(store)
    built, content = [], house.vectors._search._content

    async def counted(asked):
        built.append(asked.id)
        return await content(asked)

    monkeypatch.setattr(house.vectors._search, "_content", counted)
    searches = [house.vectors.search(ANN, [store.id], "text") for _ in range(5)]
    assert {len(found) for found in await asyncio.gather(*searches)} == {1}
    await house.vectors.search(ANN, [store.id], "text")
    assert len(built) == 1
    house.vectors._search._memory = 10
    house.vectors._search.forget(store.id)
    assert await house.vectors.search(ANN, [store.id], "text")
    assert await house.vectors.search(ANN, [store.id], "text")
    assert len(built) == 3
    assert not house.vectors._search._kept


async def test_a_searcher_that_leaves_does_not_end_the_others(house: House):
    """An index that is being built is finished for the others when one of those who wait for it leaves."""
    store = await house.store()
    await house.add(store, await house.file("text"))
    await house.settled(store)
    first = asyncio.create_task(house.vectors.search(ANN, [store.id], "text"))
    second = asyncio.create_task(house.vectors.search(ANN, [store.id], "text"))
    async with asyncio.timeout(30):
        while not house.vectors._search._building:
            await asyncio.sleep(0)
    first.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await first
    assert len(await second) == 1


async def test_several_stores_are_searched_together(house: House):
    """The chunks of several stores come in one order, each store once however often it is named."""
    one, two = await house.store(), await house.store()
    await house.add(one, await house.file("cats purr"))
    await house.add(two, await house.file("dogs bark"))
    await house.settled(one)
    await house.settled(two)
    found = await house.vectors.search(ANN, [one.id, two.id, one.id], "dogs bark", weights=Weights(meaning=0))
    assert [(each.store, each.text) for each in found] == [(two.id, "dogs bark")]
