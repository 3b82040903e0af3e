import hashlib
import os
import stat

import pytest

from localai.core.errors import InvalidRequest, StorageFailed
from localai.storage.blobs import PARTIAL_AGE, Blobs

DATA = b"weights"
DIGEST = hashlib.sha256(DATA).hexdigest()


@pytest.fixture
def blobs(tmp_path):
    return Blobs(tmp_path / "blobs")


def adopt(blobs, data=DATA):
    temporary = blobs.partial("download")
    temporary.write_bytes(data)
    return blobs.adopt(temporary, hashlib.sha256(data).hexdigest())


def mode(path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_adopt(blobs):
    """An adopted file lies under its hash, is private, and the temporary one is gone."""
    path = adopt(blobs)
    assert path == blobs.path(f"sha256:{DIGEST}") == blobs.path(DIGEST)
    assert path.read_bytes() == DATA
    assert path.name == f"sha256-{DIGEST}"
    assert blobs.has(DIGEST)
    assert blobs.digests() == [DIGEST]
    assert not blobs.partial("download").exists()


def test_everything_is_private(tmp_path):
    """Folders are 0700 and files 0600, whatever the umask and whatever they were before."""
    old = os.umask(0)
    try:
        (tmp_path / "blobs").mkdir(mode=0o777)
        blobs = Blobs(tmp_path / "blobs")
        path = adopt(blobs)
    finally:
        os.umask(old)
    assert mode(blobs.folder) == 0o700
    assert mode(blobs.partial("x").parent) == 0o700
    assert mode(path) == 0o600


def test_adopt_again_changes_nothing(blobs):
    """Adopting what is there already keeps the blob and drops the new copy."""
    first = adopt(blobs)
    inode = first.stat().st_ino
    assert adopt(blobs) == first
    assert first.stat().st_ino == inode
    assert not blobs.partial("download").exists()


def test_adopt_of_a_blob_itself(blobs):
    """Adopting a blob from its own place keeps it."""
    path = adopt(blobs)
    assert blobs.adopt(path, DIGEST) == path
    assert blobs.has(DIGEST)


@pytest.mark.parametrize(
    "digest",
    [
        "",
        "sha256:",
        DIGEST[:-1],
        f"sha256:{DIGEST[:-1]}",
        f"{DIGEST}0",
        DIGEST.upper(),
        f"SHA256:{DIGEST}",
        f"sha512:{DIGEST}",
        f"sha256-{DIGEST}",
        "sha256:../../etc/passwd",
        f"../{DIGEST}",
        "g" * 64,
        f"{DIGEST}\n",
        f" {DIGEST}",
        f"sha256:sha256:{DIGEST}",
        "\u0661" * 64,
        f"{DIGEST}/../x",
        "a" * 10**6,
    ],
)
def test_only_digests_are_digests(blobs, digest):
    """Anything but 64 lower-case hex digits, with or without `sha256:`, is refused by every method."""
    for method in (blobs.path, blobs.has, blobs.remove, blobs.verify):
        with pytest.raises(InvalidRequest):
            method(digest)
    with pytest.raises(InvalidRequest):
        blobs.adopt(blobs.partial("x"), digest)


def test_a_failed_sync_adopts_nothing(blobs, monkeypatch):
    """When the bytes cannot be brought to the disk, no blob appears."""

    def fail(_):
        raise OSError(5, "I/O error")

    temporary = blobs.partial("download")
    temporary.write_bytes(DATA)
    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(StorageFailed):
        blobs.adopt(temporary, DIGEST)
    assert not blobs.has(DIGEST)
    assert temporary.exists()


def test_the_bytes_are_synced_before_the_name(blobs, monkeypatch):
    """The file is brought to the disk before it is renamed, and the folder after."""
    happened = []
    real_sync, real_rename = os.fsync, os.rename
    monkeypatch.setattr(os, "fsync", lambda fd: (happened.append(_kind(fd)), real_sync(fd)))
    monkeypatch.setattr(os, "rename", lambda *given: (happened.append("rename"), real_rename(*given)))
    adopt(blobs)
    assert happened == ["file", "rename", "folder"]


def _kind(descriptor) -> str:
    return "folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file"


def test_a_crash_before_the_rename_leaves_no_blob(blobs, monkeypatch):
    """After a crash between writing and renaming, the store opens without the blob and the download can go on."""

    class Crash(BaseException):
        pass

    def crash(*_):
        raise Crash

    monkeypatch.setattr(os, "rename", crash)
    with pytest.raises(Crash):
        adopt(blobs)
    monkeypatch.undo()
    again = Blobs(blobs.folder)
    assert again.digests() == []
    assert again.partial("download").read_bytes() == DATA
    adopt(again)
    assert again.verify(DIGEST)


def test_missing_temporary_file(blobs):
    """Adopting a file that is not there fails as a storage error."""
    with pytest.raises(StorageFailed):
        blobs.adopt(blobs.partial("none"), DIGEST)


def test_a_link_is_never_a_blob(blobs, tmp_path):
    """A symbolic link is neither adopted nor taken for a blob."""
    target = tmp_path / "secret"
    target.write_bytes(DATA)
    temporary = blobs.partial("download")
    temporary.symlink_to(target)
    with pytest.raises(StorageFailed):
        blobs.adopt(temporary, DIGEST)
    blobs.path(DIGEST).symlink_to(target)
    assert not blobs.has(DIGEST)
    assert not blobs.verify(DIGEST)
    assert blobs.digests() == []


def test_partial_files_are_stable_and_inside(blobs):
    """The temporary file of a key is always the same, differs by key and never leaves its folder."""
    keys = ["https://a/x", "https://a/y", "../../etc/passwd", "", "\0", "a" * 10**5, "\ud800"]
    paths = [blobs.partial(key) for key in keys]
    assert len(set(paths)) == len(keys)
    assert paths == [Blobs(blobs.folder).partial(key) for key in keys]
    assert {path.parent for path in paths} == {blobs.folder / "partial"}


def test_old_partial_files_are_reaped(blobs):
    """A download untouched for a day is removed when the store opens; a younger one stays."""
    old, young = blobs.partial("old"), blobs.partial("young")
    for path in (old, young):
        path.write_bytes(b"x")
    os.utime(old, (0, 0))
    Blobs(blobs.folder)
    assert not old.exists()
    assert young.exists()
    assert blobs.reap(young.stat().st_mtime + PARTIAL_AGE + 1) == 1


def test_remove(blobs):
    """A removed blob is gone; removing it again is no error."""
    adopt(blobs)
    blobs.remove(DIGEST)
    blobs.remove(DIGEST)
    assert not blobs.has(DIGEST)


def test_verify_reads_the_bytes(blobs):
    """A blob whose bytes changed on the disk does not verify, nor does one that is missing."""
    path = adopt(blobs)
    assert blobs.verify(DIGEST)
    path.write_bytes(b"w3ights")
    assert not blobs.verify(DIGEST)
    blobs.remove(DIGEST)
    assert not blobs.verify(DIGEST)


def test_strange_files_are_no_blobs(blobs):
    """Other files in the folder are not listed."""
    (blobs.folder / "sha256-abc").touch()
    (blobs.folder / f"sha256-{DIGEST}.tmp").touch()
    (blobs.folder / f"sha256-{DIGEST}").mkdir()
    assert blobs.digests() == []
    assert not blobs.has(DIGEST)


def test_a_folder_that_cannot_be(tmp_path):
    """A store where a file is in the way fails as a storage error."""
    (tmp_path / "blobs").touch()
    with pytest.raises(StorageFailed):
        Blobs(tmp_path / "blobs")
