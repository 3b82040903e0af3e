"""Files that clients upload to make models of: hashed as they come, kept apart until a model names them.

They wait in a store of their own inside the store of models, named by their SHA-256. A file that no model took
within a day is removed.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from localai.core.errors import Conflict, InvalidRequest
from localai.fetch.partial import Partial, room
from localai.storage.blobs import Blobs, hexadecimal

AGE = 24 * 3600.0
"""Seconds for which an uploaded file waits for a model."""
LARGEST = 2**40
"""Bytes of one file; how much really fits is the disk's to say."""
WAITING = 256
"""Uploaded files that may wait at a time."""
_BLOCK = 2**20
_LOOK = 64 * 2**20
"""Bytes between two looks at the free space, for an upload that did not say its size."""


class Intake:
    """Takes uploads for the store `blobs`."""

    def __init__(self, blobs: Blobs, now: Callable[[], float] = time.time) -> None:
        """Open the waiting room (a folder of the store's, 0700).

        Raises:
            StorageFailed: It cannot be made.
        """
        self._blobs = blobs
        self._waiting = Blobs(blobs.folder / "incoming")
        self._now = now

    async def has(self, digest: str) -> bool:
        """Whether a file of this SHA-256 is there, in a model or waiting.

        Raises:
            InvalidRequest: It is not a digest.
        """
        return await asyncio.to_thread(self.path, digest) is not None

    def path(self, digest: str) -> Path | None:
        """Where the file of this SHA-256 is; None when there is none. Touches the disk.

        Raises:
            InvalidRequest: It is not a digest.
        """
        return next((store.path(digest) for store in (self._blobs, self._waiting) if store.has(digest)), None)

    def keep(self, digest: str) -> bool:
        """Move a file into the store of models, and say whether it was not there before. Touches the disk.

        Raises:
            InvalidRequest: There is no such file.
            StorageFailed: The disk refused.
        """
        if self._blobs.has(digest):
            return False
        if not self._waiting.has(digest):
            raise InvalidRequest(f"There is no file {digest[:19]}...; upload it first.", param="files")
        self._blobs.adopt(self._waiting.path(digest), digest)
        return True

    def give_back(self, digest: str) -> None:
        """Let a file that was kept, and that no model came to name, wait again. Touches the disk.

        Raises:
            StorageFailed: The disk refused.
        """
        if self._blobs.has(digest):
            self._waiting.adopt(self._blobs.path(digest), digest)

    async def take(self, digest: str, chunks: AsyncIterator[bytes], size: int | None) -> None:
        """Take in a file that must have this SHA-256.

        Args:
            digest: `sha256:` and 64 hex digits.
            chunks: Its bytes.
            size: How many there are going to be, where that is known.

        Raises:
            InvalidRequest: Not a digest, or the file has another one.
            Conflict: The same file is coming already, or too many wait.
            NotEnoughDisk: It does not fit.
            StorageFailed: The disk refused.
        """
        partial = await asyncio.to_thread(self._begin, hexadecimal(digest), size)
        try:
            await self._write(partial, chunks, size)
            await asyncio.to_thread(self._settle, partial, digest)
        except BaseException:
            partial.drop()
            raise

    def reap(self) -> None:
        """Remove what has waited for more than a day. Touches the disk."""
        for digest in self._waiting.digests():
            path = self._waiting.path(digest)
            if self._now() - path.stat().st_mtime > AGE:
                self._waiting.remove(digest)

    def _begin(self, digest: str, size: int | None) -> Partial:
        self.reap()
        if len(self._waiting.digests()) >= WAITING:
            raise Conflict(f"{WAITING} uploaded files wait to become models; make models of them first.")
        room(self._waiting.folder, size or 0)
        try:
            partial = Partial(self._waiting.partial(digest))
        except Conflict:
            raise Conflict("This file is being uploaded already; wait until that is done.") from None
        partial.restart(None)
        return partial

    async def _write(self, partial: Partial, chunks: AsyncIterator[bytes], size: int | None) -> None:
        held = bytearray()
        looked = 0
        async for chunk in chunks:
            held += chunk
            if len(held) >= _BLOCK:
                await asyncio.to_thread(partial.write, bytes(held))
                held.clear()
            if size is None and partial.size - looked > _LOOK:
                looked = partial.size
                await asyncio.to_thread(room, self._waiting.folder, 0)
        await asyncio.to_thread(partial.write, bytes(held))

    def _settle(self, partial: Partial, digest: str) -> None:
        found = partial.digest()
        if found != hexadecimal(digest):
            raise InvalidRequest(f"The file has the digest sha256:{found} and not {digest}.", param="digest")
        partial.flush()
        partial.close()
        self._waiting.adopt(partial.path, digest)
        partial.forget()
