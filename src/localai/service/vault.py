"""The contents of stored files: written as they come, named by their hash, kept for as long as an object names them."""

import asyncio
import contextlib
import errno
import hashlib
import secrets
import shutil
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import BinaryIO

from localai.core.errors import LocalAIError, NotEnoughDisk, PayloadTooLarge, StorageFailed
from localai.core.task import Value
from localai.storage.blobs import Blobs
from localai.storage.objects import Objects
from localai.storage.owned import EVERYONE

BLOCK = 2**20
"""Bytes that are collected before they are written."""
RESERVE = 64 * 2**20
"""Bytes of the disk that stay free: the database needs some too."""

_FULL = frozenset((errno.ENOSPC, errno.EDQUOT))


class Content(Value, frozen=True):
    """Bytes of the store: their SHA-256 (64 hex digits) and how many there are."""

    digest: str
    size: int


class Vault:
    """A folder of contents. An object names its content by having the digest as its parent."""

    def __init__(self, folder: Path, named: Sequence[Objects], *, reserve: int = RESERVE) -> None:
        """Open the folder, making it (0700).

        Args:
            folder: Where.
            named: The kinds of objects that name contents.
            reserve: Bytes of the disk that nothing may take.

        Raises:
            StorageFailed: The folder cannot be used.
        """
        self._blobs = Blobs(folder)
        self._named = named
        self._reserve = reserve
        self._claims: dict[str, int] = {}
        """How many are about to store an object that names this content."""
        self._going: dict[str, asyncio.Future[None]] = {}
        """Contents of which it is being found out whether they can go."""

    @asynccontextmanager
    async def keep(self, chunks: AsyncIterator[bytes], limit: int) -> AsyncGenerator[Content]:
        """Write a content, and keep it if the block stores an object that names it; else nothing is left.

        Raises:
            PayloadTooLarge: There are more than `limit` bytes.
            NotEnoughDisk: The disk is full.
            StorageFailed: The disk refused.
        """
        path = self._blobs.partial(secrets.token_hex(16))
        try:
            content = await self._write(path, chunks, limit)
            await self._settled(content.digest)
            self._claims[content.digest] = self._claims.get(content.digest, 0) + 1
            try:
                await asyncio.to_thread(self._adopt, path, content.digest)
                yield content
            except BaseException:
                self._release(content.digest)
                with contextlib.suppress(StorageFailed):  # what stays is found at the next start
                    await self.collect(content.digest)
                raise
            self._release(content.digest)
        finally:
            with contextlib.suppress(OSError):
                await asyncio.to_thread(path.unlink, missing_ok=True)

    def path(self, digest: str) -> Path:
        """Where a content is."""
        return self._blobs.path(digest)

    async def read(self, digest: str) -> AsyncGenerator[bytes, None]:
        """The blocks of a content.

        Raises:
            StorageFailed: It cannot be read.
        """
        file = await asyncio.to_thread(self._open, digest)
        try:
            while block := await asyncio.to_thread(file.read, BLOCK):
                yield block
        except OSError as error:
            raise StorageFailed("A stored file could not be read.") from error
        finally:
            file.close()

    async def collect(self, digest: str) -> None:
        """Remove a content, unless an object names it or is about to."""
        await self._settled(digest)
        if digest in self._claims:
            return
        over = self._going[digest] = asyncio.get_running_loop().create_future()
        try:
            if not await self._is_named(digest):
                await asyncio.to_thread(self._blobs.remove, digest)
        finally:
            del self._going[digest]
            over.set_result(None)

    def clear(self) -> None:
        """Remove all unfinished files; blocks, and only before the first is written."""
        self._blobs.reap(float("inf"))

    async def tidy(self) -> None:
        """Remove the contents that nothing names."""
        for digest in await asyncio.to_thread(self._blobs.digests):
            await self.collect(digest)

    async def _settled(self, digest: str) -> None:
        while digest in self._going:
            await asyncio.shield(self._going[digest])

    def _release(self, digest: str) -> None:
        self._claims[digest] -= 1
        if not self._claims[digest]:
            del self._claims[digest]

    async def _is_named(self, digest: str) -> bool:
        for objects in self._named:
            found, _ = await objects.page(EVERYONE, parent=digest, limit=1)
            if found:
                return True
        return False

    async def _write(self, path: Path, chunks: AsyncIterator[bytes], limit: int) -> Content:
        writer = _Writer(path, self._reserve)
        try:
            waiting = bytearray()
            async for chunk in chunks:
                waiting += chunk
                if writer.size + len(waiting) > limit:
                    message = (
                        f"The file has more than the {limit} bytes that it may have, or that are left of the quota."
                    )
                    raise PayloadTooLarge(message)
                if len(waiting) >= BLOCK:
                    await asyncio.to_thread(writer.add, bytes(waiting))
                    waiting.clear()
            await asyncio.to_thread(writer.end, bytes(waiting))
        finally:
            writer.close()
        return Content(digest=writer.digest, size=writer.size)

    def _adopt(self, path: Path, digest: str) -> None:
        try:
            self._blobs.adopt(path, digest)
        except StorageFailed as error:
            raise _refusal(error.__cause__) from error

    def _open(self, digest: str) -> BinaryIO:
        try:
            return self._blobs.path(digest).open("rb")
        except OSError as error:
            raise StorageFailed("A stored file is missing or cannot be read.") from error


class _Writer:
    """A file that is being written and hashed; `add` and `end` block."""

    def __init__(self, path: Path, reserve: int) -> None:
        self._path = path
        self._reserve = reserve
        self._file: BinaryIO | None = None
        self._hash = hashlib.sha256()
        self.size = 0

    @property
    def digest(self) -> str:
        return self._hash.hexdigest()

    def add(self, block: bytes) -> None:
        try:
            if self._file is None:
                self._file = self._path.open("xb")
                self._path.chmod(0o600)
            if shutil.disk_usage(self._path.parent).free < self._reserve + len(block):
                raise _refusal(OSError(errno.ENOSPC, ""))
            self._file.write(block)
        except OSError as error:
            raise _refusal(error) from error
        self._hash.update(block)
        self.size += len(block)

    def end(self, block: bytes) -> None:
        self.add(block)
        self.close()

    def close(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            try:
                file.close()
            except OSError as error:
                raise _refusal(error) from error


def _refusal(error: BaseException | None) -> LocalAIError:
    if isinstance(error, OSError) and error.errno in _FULL:
        return NotEnoughDisk("There is no room left on the disk for this file; delete others, or free some space.")
    return StorageFailed("The file could not be written to the disk.")
