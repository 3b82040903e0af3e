"""The lines of batches: one result each, and only for their owner."""

from pathlib import Path

import pytest

from localai.storage.database import Database
from localai.storage.lines import Lines
from localai.storage.objects import Objects
from localai.storage.owned import EVERYONE

THREE = [(1, "a", "{}"), (2, "b", "{}"), (5, "c", "{}")]


@pytest.fixture
async def database(tmp_path: Path):
    opened = await Database.open(tmp_path / "state.db")
    yield opened
    await opened.close()


async def test_a_result_is_written_once(database: Database):
    """The first result of a line stays; a second one, and one for what was given up, changes nothing."""
    lines = Lines(database)
    await lines.add("ann", "b1", THREE)
    assert await lines.commit("ann", "b1", 2, "done", '"first"')
    assert not await lines.commit("ann", "b1", 2, "failed", '"second"')
    await lines.give_up("ann", "b1", "expired")
    assert not await lines.commit("ann", "b1", 1, "done", '"late"')
    found = await lines.page("ann", "b1")
    assert [(line.number, line.state, line.result) for line in found] == [
        (1, "expired", None),
        (2, "done", '"first"'),
        (5, "expired", None),
    ]
    assert {line.body for line in found} == {""}
    assert await lines.counts("ann", "b1") == {"done": 1, "expired": 2}


async def test_pages(database: Database):
    """Lines come in order, behind a number, in some states only, and not more than asked for."""
    lines = Lines(database)
    await lines.add("ann", "b1", THREE)
    await lines.add("ann", "b2", [(3, "x", "{}")])
    await lines.commit("ann", "b1", 2, "failed", "{}")
    assert [line.name for line in await lines.page("ann", "b1", limit=2)] == ["a", "b"]
    assert [line.name for line in await lines.page("ann", "b1", after=2)] == ["c"]
    assert [line.name for line in await lines.page("ann", "b1", states=("pending",))] == ["a", "c"]
    await lines.remove("ann", "b1")
    assert await lines.page("ann", "b1") == []
    assert [line.name for line in await lines.page("ann", "b2")] == ["x"]


async def test_another_owner_has_no_such_lines(database: Database):
    """Nothing of a batch is read, changed or removed in the name of somebody else."""
    lines = Lines(database)
    await lines.add("ann", "b1", THREE)
    assert await lines.page("bob", "b1") == []
    assert await lines.counts("bob", "b1") == {}
    assert not await lines.commit("bob", "b1", 1, "done", "{}")
    await lines.give_up("bob", "b1", "cancelled")
    await lines.remove("bob", "b1")
    assert await lines.counts("ann", "b1") == {"pending": 3}


async def test_the_sum_of_a_field(database: Database):
    """The number of an owner's objects and the sum of a field count what has expired until it is removed."""
    clock = iter([10.0] * 4 + [99.0] * 9)
    objects = Objects(database, "file", "file", lambda: next(clock))
    assert await objects.total("ann", "bytes") == (0, 0)
    await objects.add("ann", "f1", {"bytes": 5}, expires=50.0)
    await objects.add("ann", "f2", {"bytes": 2**40})
    await objects.add("bob", "f3", {"bytes": 7})
    await Objects(database, "other", "other").add("ann", "o1", {"bytes": 9})
    await objects.add("ann", "f4", {})
    assert await objects.total("ann", "bytes") == (3, 2**40 + 5)
    assert await objects.total(EVERYONE, "bytes") == (4, 2**40 + 12)
    assert [each.id for each in await objects.expire()] == ["f1"]
    assert await objects.total("ann", "bytes") == (2, 2**40)
