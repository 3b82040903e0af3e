"""The two things the catalog does to a folder: find a named file inside it safely, and replace a file whole."""

import contextlib
import os
import secrets
import stat
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from localai.core.errors import InvalidModel, StorageFailed


class Stamp(NamedTuple):
    """By what a changed file is known."""

    modified: int
    """Nanoseconds."""
    size: int
    inode: int


def stamp(path: Path) -> Stamp | None:
    """Return the stamp of a regular file that is no symbolic link; None for anything else."""
    try:
        found = path.lstat()
    except (OSError, ValueError):
        return None
    return Stamp(found.st_mtime_ns, found.st_size, found.st_ino) if stat.S_ISREG(found.st_mode) else None


def inside(folder: Path, written: str) -> Path:
    """Return the regular file that a relative path, as written in a model file, names inside `folder`.

    Raises:
        InvalidModel: It leads out of the folder, through a symbolic link, or to nothing or no regular file.
    """
    relative = PurePosixPath(written)
    odd = "\\" in written or "\0" in written or ":" in written or len(written) > 1024
    if odd or relative.is_absolute() or not relative.parts or ".." in relative.parts:
        raise InvalidModel("A file of a model is named by `sha256:` or by a path inside the models folder.")
    path = folder
    for part in relative.parts:
        path = path / part
        if path.is_symlink():
            raise InvalidModel(f"{relative.name} is or lies behind a symbolic link; links are not followed.")
    if stamp(path) is None:
        raise InvalidModel(f"The file {relative.name} is not in the models folder.")
    return path


def replace(path: Path, data: bytes) -> None:
    """Write a file so that after a crash it has either its old or its new contents, whole.

    Raises:
        StorageFailed: The disk refused; the old file is unchanged.
    """
    temporary = path.with_name(f".{secrets.token_hex(8)}.tmp")
    try:
        try:
            with temporary.open("xb") as file:
                os.fchmod(file.fileno(), 0o600)
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        except OSError:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)
            raise
        flush(path.parent)
    except OSError as error:
        raise StorageFailed(f"{path.name} could not be written; is the disk full?") from error


def flush(folder: Path) -> None:
    """Bring a folder's entries to the disk, where folders can be opened (not on Windows)."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
