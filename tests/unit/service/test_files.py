"""Files: quotas that hold under haste, ends that come, and reading within limits."""

import asyncio
from pathlib import Path

import pytest

from localai.core.errors import NotFound, Overloaded, PayloadTooLarge
from localai.service.files import AT_ONCE, EACH, Files, label
from localai.storage.database import Database
from storing import Clock, pieces


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
async def files(tmp_path: Path, clock: Clock):
    database = await Database.open(tmp_path / "state.db")
    yield Files(database, tmp_path / "files", limit=80, quota=100, reserve=0, clock=clock)
    await database.close()


def contents(tmp_path: Path) -> int:
    return sum(path.is_file() for path in (tmp_path / "files").rglob("*"))


async def test_the_payload_has_the_fields_of_openai(files: Files):
    """A stored file carries what clients read of it, and nothing that is ours."""
    stored = await files.add("ann", "dir/a.txt", "user_data", pieces(b"12345"), 9.5)
    assert stored.payload == {
        "id": stored.id,
        "object": "file",
        "bytes": 5,
        "created_at": 1_000_000,
        "expires_at": 1_000_009,
        "filename": "a.txt",
        "purpose": "user_data",
        "status": "processed",
        "status_details": None,
    }
    assert (await files.get("ann", stored.id)).payload == stored.payload
    assert files.path(stored).read_bytes() == b"12345"


async def test_the_quota_holds_under_haste(files: Files, tmp_path: Path):
    """Of files that come together and do not all fit, no more are stored than the quota holds."""
    many = [files.add("ann", "f", "batch", pieces(bytes([number]) * 40, 5)) for number in range(8)]
    done = await asyncio.gather(*many, return_exceptions=True)
    stored = [each for each in done if not isinstance(each, BaseException)]
    assert {type(each) for each in done if isinstance(each, BaseException)} == {PayloadTooLarge}
    assert len(stored) == 2
    assert contents(tmp_path) == 2
    with pytest.raises(PayloadTooLarge, match="left of the quota"):
        await files.add("ann", "f", "batch", pieces(b"x" * 30))
    await files.add("bob", "f", "batch", pieces(b"x" * 30))
    await files.remove("ann", stored[0].id)
    await files.add("ann", "f", "batch", pieces(b"x" * 30))


async def test_a_file_has_a_limit(files: Files, tmp_path: Path):
    """One byte more than a file may have is refused."""
    await files.add("ann", "f", "batch", pieces(b"x" * 80))
    with pytest.raises(PayloadTooLarge, match="80 bytes"):
        await files.add("bob", "f", "batch", pieces(b"x" * 81))
    assert contents(tmp_path) == 1


async def test_too_many_at_a_time(files: Files):
    """More files at a time than one owner, or all, may write are overloaded, and there is room again afterwards."""
    go = asyncio.Event()

    async def slow():
        await go.wait()
        yield b"1"

    owners = [f"o{number // EACH}" for number in range(AT_ONCE)]
    waiting = [asyncio.create_task(files.add(owner, "f", "batch", slow())) for owner in owners[:EACH]]
    await asyncio.sleep(0)
    with pytest.raises(Overloaded):
        await files.add(owners[0], "f", "batch", pieces(b"1"))
    await files.add("ann", "f", "batch", pieces(b"1"))
    waiting += [asyncio.create_task(files.add(owner, "f", "batch", slow())) for owner in owners[EACH:]]
    await asyncio.sleep(0)
    with pytest.raises(Overloaded):
        await files.add("ann", "f", "batch", pieces(b"1"))
    go.set()
    await asyncio.gather(*waiting)
    await files.add("ann", "f", "batch", pieces(b"1"))


async def test_what_is_over_goes(files: Files, clock: Clock, tmp_path: Path):
    """A file whose time is over is not found, frees its bytes when it is swept, and takes no other with it."""
    brief = await files.add("ann", "a", "batch", pieces(b"x" * 60), 10)
    shared = await files.add("ann", "b", "batch", pieces(b"y" * 30))
    clock.now += 11
    with pytest.raises(NotFound):
        await files.get("ann", brief.id)
    await files.expire()
    assert contents(tmp_path) == 1
    await files.add("ann", "c", "batch", pieces(b"z" * 60))
    assert await files.read("ann", shared.id, 30) == b"y" * 30


async def test_reading_has_a_limit(files: Files):
    """A file that is larger than the reader takes is refused, and never read."""
    stored = await files.add("ann", "f", "batch", pieces(b"x" * 31))
    with pytest.raises(PayloadTooLarge):
        await files.read("ann", stored.id, 30)
    with pytest.raises(NotFound):
        await files.read("bob", stored.id, 99)


async def test_the_sweep_runs_by_itself(files: Files, tmp_path: Path):
    """Once started, what nobody names is gone without being asked."""
    orphan = tmp_path / "files" / f"sha256-{'1' * 64}"
    orphan.write_bytes(b"x")
    await files.start()
    async with asyncio.timeout(10):
        while orphan.exists():
            await asyncio.sleep(0.01)
    await files.stop()


@pytest.mark.parametrize("given", ["", ".", "..", "/", "a/..", "\0", "\n\r", " "])
def test_there_is_always_a_name(given: str):
    """A name of which nothing is left to be shown is `file`."""
    assert label(given) == "file"
