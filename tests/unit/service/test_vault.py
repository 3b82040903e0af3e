"""The contents of files: whole or not at all, and there for as long as something names them."""

import asyncio
import errno
import hashlib
import random
import stat
from pathlib import Path

import pytest

from localai.core.errors import NotEnoughDisk, NotFound, PayloadTooLarge, StorageFailed
from localai.service import vault as module
from localai.service.vault import Vault
from localai.storage.database import Database
from localai.storage.objects import Objects
from storing import pieces


@pytest.fixture
async def names(tmp_path: Path):
    database = await Database.open(tmp_path / "state.db")
    yield Objects(database, "file", "file")
    await database.close()


@pytest.fixture
def vault(tmp_path: Path, names: Objects):
    return Vault(tmp_path / "files", (names,))


def contents(tmp_path: Path) -> list[Path]:
    return [path for path in (tmp_path / "files").rglob("*") if path.is_file()]


async def put(vault: Vault, names: Objects, name: str, data: bytes) -> str:
    async with vault.keep(pieces(data, 100_000), 10**9) as content:
        await names.add("ann", name, {}, parent=content.digest)
    return content.digest


async def test_a_content_is_what_came(vault: Vault, names: Objects, tmp_path: Path):
    """A content is stored under its SHA-256, readable by nobody else, and read back block by block."""
    data = random.Random(1).randbytes(3 * 2**20 + 5)
    digest = await put(vault, names, "f", data)
    assert digest == hashlib.sha256(data).hexdigest()
    assert b"".join([block async for block in vault.read(digest)]) == data
    (path,) = contents(tmp_path)
    assert path == vault.path(digest)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


async def test_nothing_is_left_of_what_fails(vault: Vault, names: Objects, tmp_path: Path):
    """Too many bytes, a source that breaks, or a block that fails leave no file, and the error comes through."""

    async def broken():
        yield b"some"
        raise ConnectionResetError

    with pytest.raises(PayloadTooLarge):
        async with vault.keep(pieces(b"12345", 2), 4):
            pytest.fail("kept")
    with pytest.raises(ConnectionResetError):
        async with vault.keep(broken(), 100):
            pytest.fail("kept")
    with pytest.raises(NotFound):
        async with vault.keep(pieces(b"1234"), 4):
            raise NotFound
    assert contents(tmp_path) == []


@pytest.mark.parametrize(
    ("number", "expected"), [(errno.ENOSPC, NotEnoughDisk), (errno.EDQUOT, NotEnoughDisk), (errno.EIO, StorageFailed)]
)
async def test_a_disk_that_refuses(
    vault: Vault, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, expected: type[Exception]
):
    """A disk that is full, at writing or at bringing to the disk, is not_enough_disk; any other trouble is not."""

    class Refusing:
        def write(self, _data: bytes) -> None:
            raise OSError(number, "no")

        def close(self) -> None:
            pass

    def _opened(*_: object) -> Refusing:
        return Refusing()

    def _ignored(*_: object) -> None:
        pass

    with monkeypatch.context() as patched:
        patched.setattr(Path, "open", _opened)
        patched.setattr(Path, "chmod", _ignored)
        with pytest.raises(expected) as raised:
            async with vault.keep(pieces(b"1234"), 100):
                pytest.fail("kept")
    assert raised.type is expected
    with monkeypatch.context() as patched:

        def refuse(_descriptor: int) -> None:
            raise OSError(number, "no")

        patched.setattr("os.fsync", refuse)
        with pytest.raises(expected) as raised:
            async with vault.keep(pieces(b"1234"), 100):
                pytest.fail("kept")
    assert raised.type is expected
    assert contents(tmp_path) == []


async def test_the_reserve_stays_free(names: Objects, tmp_path: Path):
    """What would leave less of the disk free than the reserve is not_enough_disk before it is written."""
    full = Vault(tmp_path / "files", (names,), reserve=2**62)
    with pytest.raises(NotEnoughDisk):
        async with full.keep(pieces(b"1234"), 100):
            pytest.fail("kept")
    assert contents(tmp_path) == []


async def test_names_that_come_and_go(vault: Vault, names: Objects, tmp_path: Path):
    """However adding and removing of the same few contents overlap, what is named is there and nothing else is."""
    chance = random.Random(7)
    alive: dict[str, bytes] = {}

    async def one(number: int) -> None:
        data = b"content %d" % chance.randrange(3)
        digest = await put(vault, names, f"f{number}", data)
        alive[f"f{number}"] = data
        await asyncio.sleep(chance.random() / 100)
        if chance.random() < 0.8:
            del alive[f"f{number}"]
            await names.remove("ann", f"f{number}")
            await vault.collect(digest)

    await asyncio.gather(*(one(number) for number in range(120)))
    assert {path.read_bytes() for path in contents(tmp_path)} == set(alive.values())
    for name in list(alive):
        digest = (await names.get("ann", name)).parent or ""
        await names.remove("ann", name)
        await vault.collect(digest)
    assert contents(tmp_path) == []


async def test_what_a_killed_server_left(vault: Vault, names: Objects, tmp_path: Path):
    """Half files and contents without a name go; those with one stay."""
    kept = await put(vault, names, "f", b"kept")
    (tmp_path / "files" / f"sha256-{'0' * 64}").write_bytes(b"nobody's")
    (tmp_path / "files" / "partial" / "half").write_bytes(b"ha")
    vault.clear()
    await vault.tidy()
    assert contents(tmp_path) == [vault.path(kept)]


async def test_a_missing_content(vault: Vault):
    """A content that somebody took from the disk is storage_failed, not a crash."""
    with pytest.raises(StorageFailed):
        await anext(vault.read("0" * 64))


def test_blocks_are_bounded():
    """What is held of a file at a time is a block, not the file."""
    assert module.BLOCK <= 2**20
