"""The pieces of files in vector stores."""

from pathlib import Path

import pytest

from localai.storage import chunks as module
from localai.storage.chunks import Chunk, Chunks
from localai.storage.database import Database
from localai.storage.objects import Objects


@pytest.fixture
async def database(tmp_path: Path):
    database = await Database.open(tmp_path / "state.db")
    yield database
    await database.close()


def piece(file: str, number: int) -> Chunk:
    return Chunk(file=file, number=number, text=f"{file} {number}", vector=bytes([number] * 8))


async def every(chunks: Chunks, owner: str, store: str) -> list[Chunk]:
    return [chunk async for page in chunks.pages(owner, store) for chunk in page]


async def test_pieces_come_back_in_order_page_by_page(database: Database, monkeypatch: pytest.MonkeyPatch):
    """All pieces of a store come by file and number, whatever the size of a page, and only to their owner."""
    monkeypatch.setattr(module, "PAGE", 2)
    chunks = Chunks(database)
    await chunks.add("ann", "vs_1", [piece("b", 0), piece("a", 1), piece("a", 0)])
    await chunks.add("ann", "vs_2", [piece("c", 0)])
    assert await every(chunks, "ann", "vs_1") == [piece("a", 0), piece("a", 1), piece("b", 0)]
    assert await every(chunks, "bob", "vs_1") == []
    assert await chunks.count("vs_1", "a") == 2


async def test_texts_of_some_pieces(database: Database):
    """The texts of the pieces asked for come by their places; what is gone or another's is left out."""
    chunks = Chunks(database)
    await chunks.add("ann", "vs_1", [piece("a", 0), piece("a", 1), piece("b", 1)])
    assert await chunks.texts("ann", "vs_1", [("a", 1), ("b", 0), ("b", 1)]) == {("a", 1): "a 1", ("b", 1): "b 1"}
    assert await chunks.texts("bob", "vs_1", [("a", 1)]) == {}
    assert await chunks.texts("ann", "vs_1", []) == {}


async def test_removing(database: Database, monkeypatch: pytest.MonkeyPatch):
    """The pieces of some files of a store go, or those of all, and no other's."""
    monkeypatch.setattr(module, "PAGE", 1)
    chunks = Chunks(database)
    await chunks.add("ann", "vs_1", [piece(file, 0) for file in "abc"])
    await chunks.add("ann", "vs_2", [piece("a", 0)])
    await chunks.remove("vs_1", ["a", "c"])
    assert await every(chunks, "ann", "vs_1") == [piece("b", 0)]
    await chunks.remove("vs_1")
    assert await every(chunks, "ann", "vs_1") == []
    assert await every(chunks, "ann", "vs_2") == [piece("a", 0)]


async def test_what_is_left_of_a_removed_store_goes(database: Database):
    """Pieces whose store is not there are removed, those of others stay."""
    chunks = Chunks(database)
    await Objects(database, "vector_store", "store").add("ann", "vs_1", {})
    await chunks.add("ann", "vs_1", [piece("a", 0)])
    await chunks.add("ann", "vs_2", [piece("a", 0)])
    await chunks.tidy("vector_store")
    assert len(await every(chunks, "ann", "vs_1")) == 1
    assert await every(chunks, "ann", "vs_2") == []
