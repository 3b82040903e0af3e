"""Stored chat completions: found by model and metadata, bounded in number and time."""

from pathlib import Path
from typing import Literal

import pytest

from localai.core.errors import NotFound
from localai.service import completions as module
from localai.service.completions import LIFE, Completions
from localai.storage.database import Database
from storing import Clock


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
async def completions(tmp_path: Path, clock: Clock):
    database = await Database.open(tmp_path / "state.db")
    yield Completions(database, clock)
    await database.close()


async def put(completions: Completions, name: str, model: str = "m", **metadata: str) -> None:
    await completions.add("ann", {"id": name, "model": model}, [{"role": "user"}], metadata)


async def listed(
    completions: Completions,
    *,
    model: str | None = None,
    after: str | None = None,
    limit: int = 20,
    order: Literal["asc", "desc"] = "asc",
    **metadata: str,
) -> tuple[list[str], bool]:
    found, more = await completions.page("ann", model=model, metadata=metadata, after=after, limit=limit, order=order)
    return [stored.id for stored in found], more


async def test_a_list_of_some_of_many(completions: Completions, monkeypatch: pytest.MonkeyPatch):
    """A list by model and metadata pages through all that fit, however far apart they are, in either order."""
    monkeypatch.setattr(module, "_SEEN", 3)
    for number in range(40):
        await put(completions, f"c{number}", "a" if number % 7 == 0 else "b", odd=str(number % 2))
    wanted = ["c0", "c7", "c14", "c21", "c28", "c35"]
    assert await listed(completions, model="a") == (wanted, False)
    assert await listed(completions, model="a", limit=6) == (wanted, False)
    assert await listed(completions, model="a", limit=5) == (wanted[:5], True)
    assert await listed(completions, model="a", after="c14") == (wanted[3:], False)
    assert await listed(completions, model="a", order="desc", limit=2) == (["c35", "c28"], True)
    assert await listed(completions, model="a", odd="1") == (["c7", "c21", "c35"], False)
    assert await listed(completions, odd="none") == ([], False)
    with pytest.raises(NotFound):
        await listed(completions, after="none")


async def test_the_oldest_go(completions: Completions, monkeypatch: pytest.MonkeyPatch):
    """An owner keeps so many answers, the newest; another owner's do not count."""
    monkeypatch.setattr(module, "COUNT", 3)
    await completions.add("bob", {"id": "b", "model": "m"}, [], {})
    for number in range(5):
        await put(completions, f"c{number}")
    assert await listed(completions) == (["c2", "c3", "c4"], False)
    assert (await completions.get("bob", "b")).id == "b"


async def test_an_answer_has_its_time(completions: Completions, clock: Clock):
    """After thirty days an answer is gone."""
    await put(completions, "c")
    clock.now += LIFE - 1
    assert (await completions.change("ann", "c", {"k": "v"})).payload["metadata"] == {"k": "v"}
    clock.now += 2
    with pytest.raises(NotFound):
        await completions.get("ann", "c")
    await put(completions, "d")
    assert await listed(completions) == (["d"], False)
