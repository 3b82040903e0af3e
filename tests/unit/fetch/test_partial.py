"""A file on its way: resumed, locked, and given up when the disk refuses."""

import errno
import hashlib
import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from localai.core.errors import Conflict, NotEnoughDisk, StorageFailed
from localai.fetch import partial as module
from localai.fetch.partial import MARGIN, Note, Partial, available, room

NOTE = Note(url="https://a/x", etag='"1"', size=9)


def test_bytes_and_hash(tmp_path: Path):
    """What is written is in the file and in the hash; the file is for its owner only."""
    part = Partial(tmp_path / "p")
    part.restart(NOTE)
    part.write(b"hello ")
    part.write(b"world")
    part.flush()
    part.close()
    assert (tmp_path / "p").read_bytes() == b"hello world"
    assert (tmp_path / "p").stat().st_mode & 0o777 == 0o600
    assert (part.size, part.digest()) == (11, hashlib.sha256(b"hello world").hexdigest())


def test_resume(tmp_path: Path):
    """A later run takes up the bytes of the same address, with their hash."""
    first = Partial(tmp_path / "p")
    first.restart(NOTE)
    first.write(b"hello")
    first.close()
    second = Partial(tmp_path / "p")
    assert second.resume(NOTE.url) == NOTE
    second.write(b"!")
    assert (second.size, second.digest()) == (6, hashlib.sha256(b"hello!").hexdigest())
    second.close()


@pytest.mark.parametrize("spoil", ["other", "garbage", "missing"])
def test_resume_of_something_else(tmp_path: Path, spoil: str):
    """Bytes of another address, or without a readable note, are dropped."""
    first = Partial(tmp_path / "p")
    first.restart(NOTE)
    first.write(b"hello")
    first.close()
    beside = tmp_path / "p.json"
    if spoil == "garbage":
        beside.write_bytes(b"{")
    elif spoil == "missing":
        beside.unlink()
    second = Partial(tmp_path / "p")
    assert second.resume("https://a/other" if spoil == "other" else NOTE.url) is None
    assert second.size == 0
    second.close()
    assert (tmp_path / "p").read_bytes() == b""


def test_note_stays_young(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """During a download of days, the note never looks older than the bytes."""
    part = Partial(tmp_path / "p")
    part.restart(NOTE)
    os.utime(tmp_path / "p.json", (1, 1))
    part.write(b"early")
    assert (tmp_path / "p.json").stat().st_mtime == 1
    monkeypatch.setattr(module, "_TOUCH", -1)
    part.write(b"late")
    assert (tmp_path / "p.json").stat().st_mtime > 1
    part.drop()


def test_one_writer(tmp_path: Path):
    """A second writer of the same file is turned away while the first one lives."""
    first = Partial(tmp_path / "p")
    with pytest.raises(Conflict):
        Partial(tmp_path / "p")
    first.close()
    Partial(tmp_path / "p").close()


@pytest.mark.parametrize("kind", ["link", "pipe", "folder"])
def test_planted(tmp_path: Path, kind: str):
    """A link, pipe or folder planted in the place of the file is refused without waiting."""
    place, outside = tmp_path / "p", tmp_path / "outside"
    outside.write_bytes(b"mine")
    if kind == "link":
        place.symlink_to(outside)
    elif kind == "pipe":
        os.mkfifo(place)
    else:
        place.mkdir()
    with pytest.raises(StorageFailed):
        Partial(place)
    assert outside.read_bytes() == b"mine"


def test_drop_and_forget(tmp_path: Path):
    """Dropping removes the bytes and the note; forgetting removes the note."""
    part = Partial(tmp_path / "p")
    part.restart(NOTE)
    part.forget()
    assert sorted(file.name for file in tmp_path.iterdir()) == ["p"]
    part.drop()
    assert list(tmp_path.iterdir()) == []


def test_write_after_close(tmp_path: Path):
    """A write that comes after the end writes nowhere."""
    part = Partial(tmp_path / "p")
    part.close()
    with pytest.raises(StorageFailed):
        part.write(b"x")


@pytest.mark.parametrize(
    ("call", "code", "error"),
    [
        ("write", errno.ENOSPC, NotEnoughDisk),
        ("write", errno.EDQUOT, NotEnoughDisk),
        ("write", errno.EIO, StorageFailed),
        ("fsync", errno.EIO, StorageFailed),
        ("fsync", errno.ENOSPC, NotEnoughDisk),
        ("ftruncate", errno.EIO, StorageFailed),
    ],
)
def test_disk_refuses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, code: int, error: type[Exception]):
    """When the disk is full or fails, the error says which, and the bytes are gone: their space is free again."""
    part = Partial(tmp_path / "p")
    part.restart(NOTE)
    part.write(b"some")

    def refuse(*_: object) -> int:
        raise OSError(code, "refused")

    monkeypatch.setattr(module.os, call, refuse)
    with pytest.raises(error):
        {"write": lambda: part.write(b"more"), "fsync": part.flush, "ftruncate": lambda: part.restart(None)}[call]()
    monkeypatch.undo()
    part.close()
    assert list(tmp_path.iterdir()) == []


def test_short_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A write that takes only some bytes goes on with the rest."""
    part, write = Partial(tmp_path / "p"), os.write
    monkeypatch.setattr(module.os, "write", lambda file, data: write(file, data[:3]))
    part.write(b"0123456789")
    monkeypatch.undo()
    part.close()
    assert (tmp_path / "p").read_bytes() == b"0123456789"


def test_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """What is wanted must fit with the margin left free, and the error says how much there is."""
    usage = SimpleNamespace(free=MARGIN + 5_000_000)
    monkeypatch.setattr(module.shutil, "disk_usage", lambda _: usage)
    assert available(tmp_path) == 5_000_000
    room(tmp_path, 5_000_000)
    with pytest.raises(NotEnoughDisk, match=r"2\.00 GB .* 5 MB"):
        room(tmp_path, 2 * 10**9)


def test_room_of_no_folder(tmp_path: Path):
    """A folder that is not there is a failure of storage."""
    with pytest.raises(StorageFailed):
        room(tmp_path / "none", 1)
