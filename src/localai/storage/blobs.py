"""The content-addressed store: a file is here only under the SHA-256 of its bytes, and only once that was checked.

Layout: `sha256-<64 hex>` for every blob, `partial/<key>` for downloads in progress. Folders are 0700, files 0600.
"""

import contextlib
import hashlib
import os
import re
import stat
import time
from io import FileIO
from pathlib import Path

from localai.core.errors import InvalidRequest, StorageFailed

PARTIAL_AGE = 24 * 3600.0
"""Seconds after which a download that nobody continued is removed."""
_DIGEST = re.compile(r"(?:sha256:)?([0-9a-f]{64})")
_BLOB = re.compile(r"sha256-([0-9a-f]{64})")
_READ = 2**20


class Blobs:
    """The blobs of one folder. All methods touch the disk and block; call them in a thread."""

    def __init__(self, folder: Path) -> None:
        """Open the store, making its folders (0700), and remove what downloads left behind a day ago.

        Raises:
            StorageFailed: The folder cannot be made or is not a folder of ours.
        """
        self.folder = folder.absolute()
        self._partial = self.folder / "partial"
        try:
            for made in (self.folder, self._partial):
                made.mkdir(mode=0o700, parents=True, exist_ok=True)
                made.chmod(0o700)
        except OSError as error:
            raise StorageFailed(f"The folder for model files, {folder}, cannot be used.") from error
        self.reap(time.time())

    def path(self, digest: str) -> Path:
        """Return where the blob of this digest is or would be.

        Args:
            digest: `sha256:` and 64 lower-case hex digits, or the digits alone.

        Raises:
            InvalidRequest: It is not a digest.
        """
        return self.folder / f"sha256-{hexadecimal(digest)}"

    def has(self, digest: str) -> bool:
        """Whether the blob is in the store.

        Raises:
            InvalidRequest: It is not a digest.
        """
        return _regular(self.path(digest))

    def adopt(self, temporary: Path, digest: str) -> Path:
        """Move a file, whose hash the caller has verified, into the store; return its path there.

        The file reaches the disk before its name does, so a crash leaves either the whole blob or none. Adopting a
        blob that is there already drops the new copy.

        Raises:
            InvalidRequest: It is not a digest.
            StorageFailed: The disk refused; the blob may be missing, but never half there.
        """
        target = self.path(digest)
        try:
            if _regular(target):
                if temporary != target:
                    temporary.unlink(missing_ok=True)
                return target
            _flush(temporary)
            temporary.rename(target)
            _flush_folder(self.folder)
        except OSError as error:
            raise StorageFailed("A downloaded file could not be put into the store; is the disk full?") from error
        return target

    def partial(self, key: str) -> Path:
        """Return the temporary file of the download with this key: the same for the same key, so it can go on."""
        return self._partial / hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()

    def remove(self, digest: str) -> None:
        """Remove a blob; one that is not there is no error.

        Raises:
            InvalidRequest: It is not a digest.
            StorageFailed: The disk refused.
        """
        try:
            self.path(digest).unlink(missing_ok=True)
            _flush_folder(self.folder)
        except OSError as error:
            raise StorageFailed("A file of the store could not be removed.") from error

    def verify(self, digest: str) -> bool:
        """Read the whole blob and say whether it is there and its bytes still have this hash.

        Raises:
            InvalidRequest: It is not a digest.
        """
        wanted = hexadecimal(digest)
        found = hashlib.sha256()
        try:
            with _opened(self.path(digest)) as file:
                while block := file.read(_READ):
                    found.update(block)
        except OSError:
            return False
        return found.hexdigest() == wanted

    def digests(self) -> list[str]:
        """Return the digests (64 hex digits each, sorted) of all blobs."""
        with os.scandir(self.folder) as entries:
            names = [entry.name for entry in entries if entry.is_file(follow_symlinks=False)]
        return sorted(found[1] for name in names if (found := _BLOB.fullmatch(name)))

    def reap(self, now: float) -> int:
        """Remove partial downloads untouched for PARTIAL_AGE seconds before `now` (Unix time); return how many."""
        removed = 0
        with os.scandir(self._partial) as entries:
            for entry in entries:
                with contextlib.suppress(OSError):
                    if entry.is_dir(follow_symlinks=False):
                        continue
                    if now - entry.stat(follow_symlinks=False).st_mtime > PARTIAL_AGE:
                        (self._partial / entry.name).unlink()
                        removed += 1
        return removed


def hexadecimal(digest: str) -> str:
    """Return the 64 hex digits of a digest, with or without `sha256:` before them.

    Raises:
        InvalidRequest: It is anything else.
    """
    found = _DIGEST.fullmatch(digest)
    if found is None:
        raise InvalidRequest("A digest is `sha256:` and 64 lower-case hexadecimal digits.", param="digest")
    return found[1]


def _regular(path: Path) -> bool:
    """Whether `path` is a regular file itself (a symbolic link is not)."""
    try:
        return stat.S_ISREG(path.lstat().st_mode)
    except OSError:
        return False


def _opened(path: Path) -> FileIO:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | getattr(os, "O_NOFOLLOW", 0))
    return FileIO(descriptor, "rb")


def _flush(path: Path) -> None:
    """Make the file private and bring its bytes to the disk."""
    descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC | getattr(os, "O_NOFOLLOW", 0))
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError
        os.fchmod(descriptor, 0o600)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _flush_folder(folder: Path) -> None:
    """Bring the folder's entries to the disk (where folders can be opened; not on Windows)."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
