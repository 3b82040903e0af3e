"""How much memory there is for models, and how much one gets."""

import asyncio
import threading
from pathlib import Path

import pytest

from fleets import model
from localai.config import Settings
from localai.core.errors import InvalidModel
from localai.core.model import Model
from localai.fleet import device
from localai.fleet.budget import Budget
from localai.loader.catalog import Catalog
from localai.storage.blobs import Blobs


class Slow(Catalog):
    """A catalog that waits to be let go, counts, and may fail."""

    def __init__(self, home: Path) -> None:
        super().__init__(home / "models", Blobs(home / "blobs"))
        self.go = threading.Event()
        self.calls = 0
        self.broken = False

    def header(self, model: Model) -> None:
        return None

    def vet(self, model: Model) -> None:
        self.calls += 1
        assert self.go.wait(10)
        if self.broken:
            raise InvalidModel


async def test_fixed_memory(tmp_path: Path):
    """A memory that the settings name is taken as it is."""
    budget = Budget(Settings(home=tmp_path, memory=123), Slow(tmp_path))
    assert budget.fixed
    assert await budget.read((1, 2)) == 123


async def test_free_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Otherwise it is what is available and what our processes give back, less the reserve, and never negative."""
    monkeypatch.setattr(device, "available", lambda: 1000)
    monkeypatch.setattr(device, "held", lambda pid: pid)
    assert await Budget(Settings(home=tmp_path, memory_reserve=100), Slow(tmp_path)).read((1, 2)) == 903
    assert await Budget(Settings(home=tmp_path, memory_reserve=5000), Slow(tmp_path)).read(()) == 0


async def test_one_look_for_many(tmp_path: Path):
    """Many who ask at once share one look at the file, and one that leaves does not spoil it for the others."""
    catalog = Slow(tmp_path)
    budget = Budget(Settings(home=tmp_path, memory=2**30, threads=3), catalog)
    asked = [asyncio.create_task(budget.sizing("a", model(), ())) for _ in range(20)]
    await asyncio.sleep(0)
    asked[0].cancel()
    catalog.go.set()
    for task in asked[1:]:
        sizing, found = await task
        assert (sizing.threads, found) == (3, 2**30)
    assert catalog.calls == 1


async def test_errors_reach_all(tmp_path: Path):
    """A file that does not pass its checks is told to all who asked, and looked at again for the next."""
    catalog = Slow(tmp_path)
    catalog.go.set()
    catalog.broken = True
    budget = Budget(Settings(home=tmp_path, memory=2**30), catalog)
    for _ in range(2):
        with pytest.raises(InvalidModel):
            await budget.sizing("a", model(), ())
    assert catalog.calls == 2
