"""The operator's own key: made at the first start, kept in a file that only its owner can read."""

import os
import re
import secrets
import stat
import sys
from pathlib import Path

from localai.core.errors import StorageFailed

_LIMIT = 4096
_SECRET = re.compile(r"[!-~]{32,512}")


def admin_secret(path: Path) -> str:
    """Return the secret in the file, making the file (mode 0600) when there is none. Blocks on the disk.

    However many processes start at the same time, all of them return the same secret.

    Raises:
        StorageFailed: The file can be read by others, is no regular file, has no usable secret, or cannot be made.
    """
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            return _read(path)
        except FileNotFoundError:
            _make(path)
            return _read(path)
    except OSError as error:
        raise StorageFailed(f"The key file {path} cannot be read or made; check the folder's permissions.") from error


def _make(path: Path) -> None:
    """Write a new secret beside the file and link it into place: it is there complete, or not at all."""
    beside = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    file = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(file, "w", encoding="ascii") as stream:
            stream.write(f"sk-admin-{secrets.token_urlsafe(32)}\n")
            stream.flush()
            os.fsync(stream.fileno())
        try:
            os.link(beside, path)
        except FileExistsError:
            return  # another process was first; its secret counts
    finally:
        beside.unlink()
    _flush(path.parent)


def _flush(folder: Path) -> None:
    if sys.platform == "win32":
        return
    file = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(file)
    finally:
        os.close(file)


def _read(path: Path) -> str:
    flags = os.O_RDONLY | os.O_CLOEXEC | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    file = os.open(path, flags)
    with os.fdopen(file, "rb") as stream:
        found = os.fstat(file)
        if not stat.S_ISREG(found.st_mode):
            raise StorageFailed(f"{path} is not a regular file; remove it and start again.")
        if sys.platform != "win32" and (found.st_mode & 0o077 or found.st_uid != os.geteuid()):
            raise StorageFailed(
                f"Others can read the key in {path}. Run `chmod 600 {path}` (or `chown` it to yourself); if others "
                "may have read it, remove the file instead: the next start makes a new key."
            )
        text = stream.read(_LIMIT).decode("ascii", "replace").strip()
    if _SECRET.fullmatch(text) is None:
        raise StorageFailed(f"{path} has no usable key (32 or more characters); remove it and start again.")
    return text
