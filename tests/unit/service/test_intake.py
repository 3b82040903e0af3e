"""Uploads for new models."""

import hashlib
import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from localai.core.errors import Conflict, InvalidRequest, NotEnoughDisk
from localai.service import intake
from localai.service.intake import AGE, Intake
from localai.storage.blobs import Blobs

DATA = os.urandom(3 * 2**20 + 5)
DIGEST = f"sha256:{hashlib.sha256(DATA).hexdigest()}"


@pytest.fixture
def blobs(tmp_path: Path) -> Blobs:
    return Blobs(tmp_path / "blobs")


async def pieces(data: bytes = DATA, size: int = 100_000):
    for at in range(0, len(data), size):
        yield data[at : at + size]


async def test_a_file_is_there_once_its_hash_matched(blobs: Blobs):
    """An upload is found by its digest, waits outside the store, and moves into it when it is kept."""
    taking = Intake(blobs)
    assert not await taking.has(DIGEST)
    await taking.take(DIGEST, pieces(), len(DATA))
    assert await taking.has(DIGEST)
    assert taking.path(DIGEST).read_bytes() == DATA
    assert blobs.digests() == []
    assert taking.keep(DIGEST)
    assert blobs.path(DIGEST).read_bytes() == DATA
    assert not taking.keep(DIGEST)
    assert taking.path(DIGEST) == blobs.path(DIGEST)


async def test_another_hash_is_refused(blobs: Blobs, tmp_path: Path):
    """A file with another hash is refused and leaves nothing behind."""
    taking = Intake(blobs)
    with pytest.raises(InvalidRequest, match="digest"):
        await taking.take(f"sha256:{'0' * 64}", pieces(), len(DATA))
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


async def test_a_cut_upload_leaves_nothing(blobs: Blobs, tmp_path: Path):
    """A client that goes away in the middle leaves nothing behind."""

    async def cut():
        yield DATA[:100]
        raise ConnectionError

    with pytest.raises(ConnectionError):
        await Intake(blobs).take(DIGEST, cut(), len(DATA))
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


async def test_the_same_file_comes_once_at_a_time(blobs: Blobs):
    """A second upload of a file that is coming is refused, and the first goes on."""
    taking = Intake(blobs)

    async def meanwhile():
        yield DATA[:10]
        with pytest.raises(Conflict, match="being uploaded"):
            await taking.take(DIGEST, pieces(), len(DATA))
        yield DATA[10:]

    await taking.take(DIGEST, meanwhile(), None)
    assert await taking.has(DIGEST)


@pytest.mark.parametrize("digest", ["", "sha256:x", "../../etc/passwd", "md5:0", f"sha256:{'A' * 64}"])
async def test_names_that_are_no_digests(blobs: Blobs, digest: str):
    """Only a SHA-256 names a file."""
    taking = Intake(blobs)
    with pytest.raises(InvalidRequest):
        await taking.has(digest)
    with pytest.raises(InvalidRequest):
        await taking.take(digest, pieces(), 1)


async def test_a_file_that_does_not_fit_is_refused_first(blobs: Blobs):
    """More bytes than the disk has are refused before the first is read."""
    read = []

    async def never():
        read.append(True)
        yield b""

    with pytest.raises(NotEnoughDisk):
        await Intake(blobs).take(DIGEST, never(), 2**60)
    assert not read


async def test_a_disk_that_fills_ends_an_upload(blobs: Blobs, monkeypatch: pytest.MonkeyPatch):
    """An upload of unknown size ends when the disk has no more room to spare."""
    monkeypatch.setattr(intake, "_LOOK", 2**20)
    free = [2**40]
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=free[0]))

    async def filling():
        async for piece in pieces():
            free[0] = 0
            yield piece

    with pytest.raises(NotEnoughDisk):
        await Intake(blobs).take(DIGEST, filling(), None)


async def test_what_no_model_takes_is_removed_after_a_day(blobs: Blobs):
    """An upload waits for a day; a later one clears it away."""
    now = [0.0]
    taking = Intake(blobs, now=lambda: now[0])
    await taking.take(DIGEST, pieces(), len(DATA))
    now[0] = taking.path(DIGEST).stat().st_mtime + AGE - 1
    taking.reap()
    assert await taking.has(DIGEST)
    now[0] += 2
    taking.reap()
    assert not await taking.has(DIGEST)


async def test_only_so_many_wait(blobs: Blobs, monkeypatch: pytest.MonkeyPatch):
    """Uploads that nobody makes models of cannot pile up without end."""
    monkeypatch.setattr(intake, "WAITING", 1)
    taking = Intake(blobs)
    await taking.take(DIGEST, pieces(), len(DATA))
    other = f"sha256:{hashlib.sha256(b'x').hexdigest()}"
    with pytest.raises(Conflict, match="wait"):
        await taking.take(other, pieces(b"x"), 1)


async def test_what_is_not_there_cannot_be_kept(blobs: Blobs):
    """A digest without a file cannot go into a model."""
    with pytest.raises(InvalidRequest, match="upload"):
        Intake(blobs).keep(DIGEST)
