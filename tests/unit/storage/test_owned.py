"""Rows that belong to somebody: two owners, every operation."""

from pathlib import Path

import pytest

from localai.core.errors import NotFound
from localai.storage.database import Database
from localai.storage.owned import EVERYONE, PAGE, Owned
from localai.storage.tables import jobs


@pytest.fixture
async def rows(tmp_path: Path):
    """The jobs of `ann` (a1, a2) and `bob` (b1)."""
    database = await Database.open(tmp_path / "state.db")
    owned = Owned(database, jobs, "job")
    for owner, identifier, created in (("ann", "a1", 1.0), ("ann", "a2", 2.0), ("bob", "b1", 3.0)):
        row = {"id": identifier, "kind": "k", "state": "s", "payload": "{}", "created": created, "updated": created}
        await owned.add(owner, row)
    yield owned
    await database.close()


async def ids(rows: Owned, owner) -> list[str]:
    return [row["id"] for row in await rows.rows(owner)]


async def test_lists(rows: Owned):
    """Each sees their own rows, newest first; an administrator sees all; a stranger sees none."""
    assert await ids(rows, "ann") == ["a2", "a1"]
    assert await ids(rows, "bob") == ["b1"]
    assert await ids(rows, EVERYONE) == ["b1", "a2", "a1"]
    for nobody in ("", "Ann", "ann ", "%", "ann' OR '1'='1"):
        assert await ids(rows, nobody) == []


async def test_filters(rows: Owned):
    """A list can be narrowed and shortened, never beyond the owner."""
    assert [row["id"] for row in await rows.rows("ann", limit=1)] == ["a2"]
    assert [row["id"] for row in await rows.rows("ann", id="b1")] == []
    assert len(await rows.rows(EVERYONE, kind="k", limit=PAGE * 10)) == 3


async def test_get(rows: Owned):
    """A row is found by its owner and by an administrator, and does not exist for anybody else."""
    assert (await rows.get("ann", "a1"))["owner"] == "ann"
    assert (await rows.get(EVERYONE, "a1"))["owner"] == "ann"
    with pytest.raises(NotFound) as missing:
        await rows.get("ann", "no-such-id")
    with pytest.raises(NotFound) as foreign:
        await rows.get("bob", "a1")
    assert foreign.value.message == missing.value.message


async def test_change(rows: Owned):
    """A row is changed by its owner only, and what does not exist for somebody is not changed."""
    await rows.change("ann", "a1", {"state": "new"})
    with pytest.raises(NotFound):
        await rows.change("bob", "a1", {"state": "stolen"})
    assert (await rows.get("ann", "a1"))["state"] == "new"
    assert (await rows.get("ann", "a2"))["state"] == "s"


async def test_remove(rows: Owned):
    """A row is removed by its owner only."""
    with pytest.raises(NotFound):
        await rows.remove("bob", "a1")
    await rows.remove("ann", "a1")
    with pytest.raises(NotFound):
        await rows.remove("ann", "a1")
    assert await ids(rows, EVERYONE) == ["b1", "a2"]


async def test_prune(rows: Owned):
    """Old rows go, of every owner, and only those of the kind that is named."""
    await rows.prune(9.0, kind="other")
    assert await ids(rows, EVERYONE) == ["b1", "a2", "a1"]
    await rows.prune(2.0, kind="k")
    assert await ids(rows, EVERYONE) == ["b1", "a2"]


async def test_owner_cannot_be_smuggled(rows: Owned):
    """The owner of a new row is the one given, whatever its values say."""
    row = {"id": "x", "owner": "bob", "kind": "k", "state": "s", "payload": "{}", "created": 9.0, "updated": 9.0}
    await rows.add("ann", row)
    assert (await rows.get("ann", "x"))["owner"] == "ann"
    with pytest.raises(NotFound):
        await rows.get("bob", "x")


async def test_hostile_ids(rows: Owned):
    """An id is a value, never a part of a query."""
    for hostile in ("a1' OR '1'='1", "%", "a1\x00", "'; DROP TABLE jobs; --"):
        with pytest.raises(NotFound):
            await rows.get("ann", hostile)
    assert await ids(rows, "ann") == ["a2", "a1"]
