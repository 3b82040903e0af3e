"""Objects that are many to one parent."""

from pathlib import Path

import pytest

from localai.storage import members as module
from localai.storage.database import Database
from localai.storage.members import Members
from localai.storage.objects import Objects
from localai.storage.owned import EVERYONE


@pytest.fixture
async def members(tmp_path: Path):
    database = await Database.open(tmp_path / "state.db")
    yield Members(database, "thing", "thing", clock=lambda: 1000.0)
    await database.close()


async def stored(members: Members, owner: str, name: str, state: str, batch: str = "", size: int = 1):
    return await members.add(owner, name, {"batch": batch, "size": size}, parent="p", state=state)


async def test_tally(members: Members):
    """Objects of a parent are counted and summed by state, those of one owner, and those with a text in a field."""
    await stored(members, "ann", "a", "new", "x", 2)
    await stored(members, "ann", "b", "new", "y", 3)
    await stored(members, "ann", "c", "done", "x", 4)
    await stored(members, "bob", "d", "done", "x", 5)
    assert await members.tally("ann", "p", "size") == {"new": (2, 5), "done": (1, 4)}
    assert await members.tally("ann", "p", "size", having=("batch", "x")) == {"new": (1, 2), "done": (1, 4)}
    assert await members.tally("ann", "q", "size") == {}
    assert await members.tally("ann", "p", "nothing") == {"new": (2, 0), "done": (1, 0)}


async def test_all_and_owners(members: Members, monkeypatch: pytest.MonkeyPatch):
    """All objects in a state come oldest first, however many pages they fill, and so do their owners."""
    monkeypatch.setattr(module, "PAGE", 2)
    for number in range(5):
        await stored(members, "ann", f"a{number}", "new", "x" if number % 2 else "y")
    await stored(members, "bob", "b", "done")
    assert [each.id for each in await members.all("ann", "p", "new")] == ["a0", "a1", "a2", "a3", "a4"]
    assert [each.id for each in await members.all(EVERYONE, "p", "new", having=("batch", "x"))] == ["a1", "a3"]
    assert await members.owners("new") == ["ann"]
    assert await members.owners("done") == ["bob"]


async def test_patch_sets_some_fields_and_nothing_else(members: Members):
    """A patch keeps what others set meanwhile, and is not done in another state or to an object stored anew."""
    first = await stored(members, "ann", "a", "new")
    assert await members.patch(first, {"size": 7}, state="done", when="new")
    changed = await members.patch(first, {"batch": "z"})
    assert changed is not None
    assert (changed.payload, changed.state) == ({"batch": "z", "size": 7}, "done")
    assert (await members.get("ann", "a")).payload == changed.payload
    assert await members.patch(first, {"size": 8}, when="new") is None
    await members.remove("ann", "a")
    assert await members.patch(first, {"size": 8}) is None
    await stored(members, "ann", "a", "new")
    assert await members.patch(first, {"size": 8}) is None
    assert (await members.get("ann", "a")).payload["size"] == 1


async def test_patch_moves_the_end(members: Members):
    """A patch can give an object a new end of its time."""
    first = await stored(members, "ann", "a", "new")
    changed = await members.patch(first, {}, expires=2000.0)
    assert changed is not None
    assert changed.expires == (await members.get("ann", "a")).expires == 2000.0


async def test_lost(members: Members):
    """Objects that name another which is gone are found, those that name one that is there are not."""
    others = Objects(members._database, "other", "other")
    await others.add("ann", "o1", {})
    await stored(members, "ann", "a", "new", "o1")
    await stored(members, "ann", "b", "new", "o2")
    assert [each.id for each in await members.lost("batch", "other")] == ["b"]
    assert [each.id for each in await members.lost("batch", "nothing")] == ["a", "b"]


async def test_move(members: Members):
    """All objects of a batch that are in one state are put into another, at once."""
    await stored(members, "ann", "a", "new", "x")
    await stored(members, "ann", "b", "new", "y")
    await stored(members, "ann", "c", "done", "x")
    await members.move("ann", "p", "new", "gone", having=("batch", "x"))
    assert [(await members.get("ann", name)).state for name in "abc"] == ["gone", "new", "done"]
