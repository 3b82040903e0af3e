"""A file that is on its way: its bytes, their running SHA-256, and a note of where they come from."""

import contextlib
import errno
import hashlib
import os
import shutil
import stat
import sys
import threading
import time
from collections.abc import Generator
from pathlib import Path

import msgspec

from localai.core.errors import Conflict, LocalAIError, NotEnoughDisk, StorageFailed
from localai.core.task import Value

MARGIN = 256 * 2**20
"""Bytes of the disk that a download leaves free."""
_BLOCK = 2**20
_TOUCH = 600.0
_FULL = frozenset((errno.ENOSPC, errno.EDQUOT, errno.EFBIG))


class Note(Value, frozen=True):
    """What the partial bytes are a part of, so that a later request continues the same file."""

    url: str
    etag: str | None = None
    size: int | None = None


class Partial:
    """One partial file, open and locked by this process. All methods block on the disk; call them in a thread."""

    def __init__(self, path: Path) -> None:
        """Open or make the file (0600).

        Raises:
            Conflict: Somebody else is writing it.
            StorageFailed: It cannot be opened.
        """
        self.path = path
        self.size = 0
        """Bytes that are in the file and in the hash."""
        self._beside = path.with_name(path.name + ".json")
        self._hash = hashlib.sha256()
        self._lock = (
            threading.Lock()
        )  # a write still running in a thread must not meet a closed (and reused) descriptor
        self._touched = time.monotonic()
        self._file = _open(path)

    def resume(self, url: str) -> Note | None:
        """Take up what an earlier run left of `url`, hashing it again; without a matching note, start empty."""
        note = self._read_note()
        if note is None or note.url != url:
            self.restart(None)
            return None
        with self._lock:
            os.lseek(self._file, 0, os.SEEK_SET)
            while block := os.read(self._file, _BLOCK):
                self._hash.update(block)
                self.size += len(block)
        return note

    def restart(self, note: Note | None) -> None:
        """Empty the file and write down what is to come.

        Raises:
            NotEnoughDisk: The disk is full.
            StorageFailed: The disk refused.
        """
        with self._lock, self._guarded():
            os.ftruncate(self._file, 0)
            os.lseek(self._file, 0, os.SEEK_SET)
            self._hash, self.size = hashlib.sha256(), 0
            if note is None:
                self._beside.unlink(missing_ok=True)
            else:
                self._beside.write_bytes(msgspec.json.encode(note))

    def write(self, data: bytes) -> None:
        """Append bytes.

        Raises:
            NotEnoughDisk: The disk is full; what was written is removed, so that the space is free again.
            StorageFailed: The disk refused.
        """
        with self._lock, self._guarded():
            view = memoryview(data)
            while view:
                view = view[os.write(self._file, view) :]
            self._touch()
        self._hash.update(data)
        self.size += len(data)

    def digest(self) -> str:
        """The SHA-256 (64 hex digits) of all bytes so far."""
        return self._hash.hexdigest()

    def flush(self) -> None:
        """Bring the bytes to the disk.

        Raises:
            NotEnoughDisk: The disk is full.
            StorageFailed: The disk refused: the bytes may be lost, so they are removed and never counted as good.
        """
        with self._lock, self._guarded():
            os.fsync(self._file)

    def close(self) -> None:
        """Close the file and keep it for a later run."""
        with self._lock:
            if self._file >= 0:
                os.close(self._file)
                self._file = -1

    def drop(self) -> None:
        """Close and remove the file and its note."""
        self.close()
        self._remove()

    def forget(self) -> None:
        """Remove the note, once the file itself went where it belongs."""
        with contextlib.suppress(OSError):
            self._beside.unlink(missing_ok=True)

    def _touch(self) -> None:
        """Keep the note as young as the bytes: what nobody continued for a day is removed."""
        now = time.monotonic()
        if now - self._touched > _TOUCH and self._beside.exists():
            os.utime(self._beside)
            self._touched = now

    def _remove(self) -> None:
        for path in (self.path, self._beside):
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)

    @contextlib.contextmanager
    def _guarded(self) -> Generator[None]:
        if self._file < 0:
            raise StorageFailed("The download was stopped.")
        try:
            yield
        except OSError as error:
            self._remove()
            raise refusal(error) from error

    def _read_note(self) -> Note | None:
        try:
            return msgspec.json.decode(self._beside.read_bytes(), type=Note)
        except (OSError, msgspec.MsgspecError, UnicodeError):
            return None


def refusal(error: OSError) -> LocalAIError:
    """The error to tell when the disk refused a write."""
    if error.errno in _FULL:
        return NotEnoughDisk("The disk became full during the download; free some space and pull again.")
    return StorageFailed("A download could not be written to the disk; check the disk and the folder's permissions.")


def room(folder: Path, wanted: int) -> None:
    """Check that `wanted` bytes fit onto the disk of `folder` and MARGIN stays free.

    Raises:
        NotEnoughDisk: They do not.
        StorageFailed: The folder cannot be looked at.
    """
    free = available(folder)
    if wanted > free:
        raise NotEnoughDisk(
            f"This needs {_human(wanted)} of disk and {_human(max(free, 0))} can be used in {folder} "
            f"({_human(MARGIN)} stay free); free some space or move LOCALAI_HOME."
        )


def available(folder: Path) -> int:
    """Bytes that may be written to the disk of `folder`; negative when MARGIN is used already."""
    try:
        return shutil.disk_usage(folder).free - MARGIN
    except OSError as error:
        raise StorageFailed(f"The folder {folder} cannot be used.") from error


def _human(size: int) -> str:
    return f"{size / 10**9:.2f} GB" if size >= 10**9 else f"{size / 10**6:.0f} MB"


def _open(path: Path) -> int:
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    try:
        file = os.open(path, flags, 0o600)
    except OSError as error:
        raise refusal(error) from error
    try:
        _claim(file, path)
    except BaseException:
        os.close(file)
        raise
    return file


def _claim(file: int, path: Path) -> None:
    """Lock the file for this process; the system lets go of it when the process ends, however it ends."""
    if not stat.S_ISREG(os.fstat(file).st_mode):
        raise StorageFailed(f"{path} is not a regular file; remove it.")
    try:
        if sys.platform != "win32":
            import fcntl  # noqa: PLC0415 - not there on Windows, where one server per folder is up to the user

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        same = os.fstat(file).st_ino == path.stat().st_ino
    except OSError:
        same = False
    if not same:
        raise Conflict("This file is being downloaded already; wait until that is done.")
