"""Uploads: an hour of time, one completion, and no double count."""

import asyncio
from pathlib import Path

import pytest

from localai.core.errors import Conflict, InvalidRequest, NotFound, PayloadTooLarge
from localai.service import uploads as module
from localai.service.files import Details, Files
from localai.service.uploads import UPLOAD, Uploads
from localai.storage.database import Database
from storing import Clock, pieces

ABOUT = Details(filename="a", purpose="user_data", lifetime=50.0)


class House:
    """Uploads over files of at most 20 bytes each and 100 in all."""

    def __init__(self, database: Database, folder: Path) -> None:
        self.clock = Clock()
        self.folder = folder
        self.files = Files(database, folder, limit=20, quota=100, reserve=0, clock=self.clock)
        self.uploads = Uploads(database, self.files, self.clock)

    async def begun(self, *parts: bytes, owner: str = "ann") -> tuple[str, list[str]]:
        upload = await self.uploads.add(owner, ABOUT, sum(map(len, parts)), "text/plain")
        return upload.id, [(await self.uploads.add_part(owner, upload.id, pieces(part))).id for part in parts]

    def contents(self) -> int:
        return sum(path.is_file() for path in self.folder.rglob("*"))


@pytest.fixture
async def house(tmp_path: Path):
    database = await Database.open(tmp_path / "state.db")
    yield House(database, tmp_path / "files")
    await database.close()


async def test_a_file_that_needs_more_than_half_of_the_quota(house: House):
    """Parts and the file made of them do not count twice, and the file may be larger than one that comes whole."""
    upload, parts = await house.begun(b"a" * 30, b"b" * 40)
    done = await house.uploads.complete("ann", upload, parts, None)
    file = done.payload["file"]
    assert (file["bytes"], file["expires_at"]) == (70, 1_000_050)
    assert await house.files.read("ann", file["id"], 70) == b"a" * 30 + b"b" * 40
    assert house.contents() == 1


async def test_the_hour_is_over(house: House):
    """After an hour an upload is gone, and its parts no longer take room."""
    upload, parts = await house.begun(b"a" * 90)
    house.clock.now += 3601
    for call in (
        house.uploads.add_part("ann", upload, pieces(b"x")),
        house.uploads.complete("ann", upload, parts, None),
        house.uploads.cancel("ann", upload),
    ):
        with pytest.raises(NotFound):
            await call
    await house.files.expire()
    assert house.contents() == 0
    await house.begun(b"b" * 90)


async def test_two_completions_make_one_file(house: House):
    """Of completions that come together one makes the file; the others are a conflict."""
    upload, parts = await house.begun(b"ab", b"cd")
    done = await asyncio.gather(
        *(house.uploads.complete("ann", upload, parts, None) for _ in range(5)), return_exceptions=True
    )
    assert sum(not isinstance(each, BaseException) for each in done) == 1
    assert {type(each) for each in done if isinstance(each, BaseException)} == {Conflict}
    assert len((await house.files.page("ann"))[0]) == 1


async def test_a_completion_that_fails_can_be_repeated(house: House):
    """A wrong MD5 leaves the upload as it was; the right one, in any case of letters, completes it."""
    upload, parts = await house.begun(b"hello")
    with pytest.raises(InvalidRequest, match="MD5"):
        await house.uploads.complete("ann", upload, parts, "0" * 32)
    assert (await house.files.page("ann"))[0] == []
    done = await house.uploads.complete("ann", upload, parts, "5D41402ABC4B2A76B9719D911017C592")
    assert done.payload["status"] == "completed"


async def test_a_part_that_comes_too_late(house: House):
    """A part that is still on its way when its upload is cancelled is a conflict, and leaves nothing."""
    upload, _ = await house.begun()
    go = asyncio.Event()

    async def late():
        yield b"some"
        await go.wait()
        yield b"more"

    sending = asyncio.create_task(house.uploads.add_part("ann", upload, late()))
    await asyncio.sleep(0.01)
    await house.uploads.cancel("ann", upload)
    go.set()
    with pytest.raises(Conflict):
        await sending
    assert house.contents() == 0


async def test_bounds(house: House, monkeypatch: pytest.MonkeyPatch):
    """An upload, a part and the number of unfinished uploads have their limits."""
    with pytest.raises(InvalidRequest) as raised:
        await house.uploads.add("ann", ABOUT, UPLOAD + 1, "text/plain")
    assert raised.value.param == "bytes"
    monkeypatch.setattr(module, "PART", 10)
    upload, _ = await house.begun()
    with pytest.raises(PayloadTooLarge):
        await house.uploads.add_part("ann", upload, pieces(b"x" * 11))
    monkeypatch.setattr(module, "UNFINISHED", 1)
    with pytest.raises(Conflict, match="under way"):
        await house.uploads.add("ann", ABOUT, 1, "text/plain")
    await house.uploads.add("bob", ABOUT, 1, "text/plain")


async def test_parts_of_another_upload(house: House):
    """A part of one upload cannot be used in another one of the same owner."""
    first, parts = await house.begun(b"ab")
    second, _ = await house.begun(b"ab")
    with pytest.raises(InvalidRequest) as raised:
        await house.uploads.complete("ann", second, parts, None)
    assert raised.value.param == "part_ids.0"
    assert (await house.uploads.complete("ann", first, parts, None)).payload["status"] == "completed"
