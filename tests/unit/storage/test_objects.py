"""Stored objects: owners, kinds, pages, states and ends."""

from pathlib import Path

import pytest

from localai.core.errors import NotFound
from localai.storage.database import Database
from localai.storage.objects import Objects
from localai.storage.owned import EVERYONE


class Clock:
    """A time that the test sets."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
async def database(tmp_path: Path):
    opened = await Database.open(tmp_path / "state.db")
    yield opened
    await opened.close()


async def test_only_the_owner_sees_an_object(database: Database):
    """Another owner, another kind and an unknown id all get the same NotFound, for every operation."""
    files, batches = Objects(database, "file", "file"), Objects(database, "batch", "batch")
    await files.add("ann", "f1", {"name": "a"})
    assert (await files.get("ann", "f1")).payload == {"name": "a"}
    assert (await files.get(EVERYONE, "f1")).owner == "ann"
    for objects, owner, identifier in ((files, "bob", "f1"), (batches, "ann", "f1"), (files, "ann", "f2")):
        for call in (
            objects.get(owner, identifier),
            objects.change(owner, identifier, state="x"),
            objects.remove(owner, identifier),
            objects.page(owner, after=identifier),
        ):
            with pytest.raises(NotFound):
                await call
    assert (await files.get("ann", "f1")).state == ""


async def test_pages_cover_everything_once_in_either_order(database: Database):
    """Following `after` through pages of any size gives each object once, oldest or newest first."""
    objects = Objects(database, "item", "item")
    names = [f"i{number}" for number in range(7)]
    await objects.add_all("ann", [(name, {}) for name in names], parent="p")
    await objects.add("ann", "other", {}, parent="q")
    await objects.add("bob", "foreign", {}, parent="p")
    for order, expected in (("asc", names), ("desc", names[::-1])):
        for limit in (1, 3, 7, 50):
            seen: list[str] = []
            more = True
            while more:
                after = seen[-1] if seen else None
                page, more = await objects.page("ann", parent="p", after=after, limit=limit, order=order)
                seen += [each.id for each in page]
            assert seen == expected
    page, _ = await objects.page("ann", parent="p", before="i2", order="asc")
    assert [each.id for each in page] == ["i0", "i1"]


async def test_a_change_can_depend_on_the_state(database: Database):
    """A change that names the state it expects happens once, and not when another was faster."""
    objects = Objects(database, "batch", "batch")
    await objects.add("ann", "b", {"n": 1}, state="running")
    assert await objects.change("ann", "b", state="cancelled", when="running")
    assert not await objects.change("ann", "b", state="done", payload={"n": 2}, when="running")
    stored = await objects.get("ann", "b")
    assert (stored.state, stored.payload) == ("cancelled", {"n": 1})


async def test_what_has_expired_is_gone(database: Database):
    """An object whose time is over is not found, and `expire` removes it with its parts and nothing else."""
    clock = Clock()
    objects = Objects(database, "response", "response", clock)
    items = Objects(database, "item", "item", clock)
    await objects.add("ann", "r1", {}, expires=1010.0)
    await objects.add("ann", "r2", {}, expires=2000.0)
    await items.add("ann", "i1", {}, parent="r1")
    await items.add("ann", "i2", {}, parent="r2")
    clock.now = 1010.0
    with pytest.raises(NotFound):
        await objects.get("ann", "r1")
    assert [each.id for each in await objects.expire()] == ["r1"]
    with pytest.raises(NotFound):
        await items.get("ann", "i1")
    assert await items.get("ann", "i2")
    assert await objects.expire() == []


async def test_an_object_goes_with_its_parts(database: Database):
    """Removing an object removes what is part of it, and no other object's parts."""
    objects, items = Objects(database, "conversation", "conversation"), Objects(database, "item", "item")
    for name in ("c1", "c2"):
        await objects.add("ann", name, {})
        await items.add("ann", f"{name}-i", {}, parent=name)
    await objects.remove("ann", "c1")
    with pytest.raises(NotFound):
        await items.get("ann", "c1-i")
    assert (await items.get("ann", "c2-i")).parent == "c2"
