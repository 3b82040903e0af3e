"""Stored responses."""

import re

import pytest

from localai.core.errors import ContextLengthExceeded, NotFound
from localai.service import responses as module
from localai.service.responses import Record, Responses, item_id, new_id
from localai.storage.database import Database


class Clock:
    """A time that the test sets."""

    now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
async def database(tmp_path):
    opened = await Database.open(tmp_path / "state.db")
    yield opened
    await opened.close()


def record(identifier, text="x", *, previous=None, status="completed"):
    asked = {"id": item_id(identifier, "msg", 0, output=False), "text": f"asked {text}"}
    said = {"id": item_id(identifier, "msg", 0, output=True), "text": f"said {text}"}
    response = {"id": identifier, "status": status, "output": [said], "previous_response_id": previous}
    return Record(response=response, input=(asked,))


async def test_a_response_is_its_owners(database):
    """A response is read and removed by its owner; to anybody else it does not exist, nor do its items."""
    responses, identifier = Responses(database), new_id()
    await responses.add("ann", record(identifier))
    assert (await responses.get("ann", identifier)) == record(identifier)
    item = record(identifier).response["output"][0]["id"]
    assert await responses.item("ann", item) == record(identifier).response["output"][0]
    assert await responses.item("bob", item) is None
    for call in (responses.get, responses.remove, responses.chain):
        with pytest.raises(NotFound):
            await call("bob", identifier)
    await responses.remove("ann", identifier)
    assert await responses.item("ann", item) is None


def test_items_name_their_response():
    """The id of an item has the id of its response in it; input and output have ids of their own."""
    identifier = new_id()
    assert re.fullmatch(r"resp_[0-9a-f]{32}", identifier)
    ids = {item_id(identifier, "fc", place, output=output) for place in (0, 1) for output in (False, True)}
    assert len(ids) == 4
    assert all(identifier.removeprefix("resp_") in each for each in ids)


async def test_a_chain_is_the_whole_conversation(database):
    """A chain gives inputs and outputs of all its responses, oldest first; a missing link is said, never left out."""
    responses = Responses(database)
    first, second, third = new_id(), new_id(), new_id()
    await responses.add("ann", record(first, "1"))
    await responses.add("ann", record(second, "2", previous=first))
    await responses.add("ann", record(third, "3", previous=second))
    texts = [item["text"] for item in await responses.chain("ann", third)]
    assert texts == ["asked 1", "said 1", "asked 2", "said 2", "asked 3", "said 3"]
    await responses.remove("ann", first)
    with pytest.raises(NotFound, match="builds on") as caught:
        await responses.chain("ann", third)
    assert caught.value.param == "previous_response_id"


async def test_a_chain_has_an_end(database, monkeypatch):
    """A chain of more responses than any context holds is refused."""
    monkeypatch.setattr(module, "LINKS", 2)
    responses = Responses(database)
    links = [new_id() for _ in range(3)]
    for previous, link in zip([None, *links], links, strict=False):
        await responses.add("ann", record(link, previous=previous))
    assert len(await responses.chain("ann", links[1])) == 4
    with pytest.raises(ContextLengthExceeded):
        await responses.chain("ann", links[2])


async def test_a_response_is_finished_once(database):
    """How a waiting response ended is stored by whoever is first."""
    responses, identifier = Responses(database), new_id()
    await responses.add("ann", record(identifier, status="queued"))
    assert await responses.finish("ann", record(identifier, status="cancelled"))
    assert not await responses.finish("ann", record(identifier, "y"))
    assert (await responses.get("ann", identifier)).response["status"] == "cancelled"


async def test_what_a_killed_server_left_is_failed(database):
    """At start everything that was under way becomes failed, with a reason; what had ended stays."""
    old, waiting, done = Responses(database), new_id(), new_id()
    await old.add("ann", record(waiting, status="queued"))
    await old.add("bob", record(done))
    new = Responses(database)
    await new.start()
    await new.stop()
    failed = (await new.get("ann", waiting)).response
    assert (failed["status"], failed["error"]["code"]) == ("failed", "server_error")
    assert (await new.get("bob", done)).response["status"] == "completed"


async def test_responses_expire_and_are_counted(database, monkeypatch):
    """A response is gone after its time; of one owner's responses only so many are kept, whatever others have."""
    clock = Clock()
    responses = Responses(database, ttl=10, clock=clock)
    ids = [new_id() for _ in range(4)]
    for identifier in ids:
        await responses.add("ann", record(identifier))
    await responses.add("bob", record(foreign := new_id()))
    await responses._objects.trim(2)
    for identifier in ids[:2]:
        with pytest.raises(NotFound):
            await responses.get("ann", identifier)
    for owner, identifier in (("ann", ids[2]), ("ann", ids[3]), ("bob", foreign)):
        await responses.get(owner, identifier)
    clock.now += 11
    with pytest.raises(NotFound):
        await responses.get("ann", ids[3])
