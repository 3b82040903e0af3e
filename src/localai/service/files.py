"""Files that clients store: each has one owner, a name that is only a label, and a content in the vault."""

import asyncio
import secrets
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any, Literal

from localai.core.errors import InternalError, Overloaded, PayloadTooLarge
from localai.core.task import Value
from localai.observe.logs import get
from localai.service.vault import RESERVE, Vault
from localai.storage.database import Database
from localai.storage.objects import Objects, Stored

log = get("files")

COUNT = 10_000
"""Files of one owner."""
AT_ONCE = 64
"""Files that are written at a time."""
EACH = 16
"""Those of them that one owner writes."""
SWEEP = 300.0
"""Seconds between two looks for files whose time is over."""
NAME = 255
"""Characters of a file's name."""


class Details(Value, frozen=True):
    """What a file is called, what it is for, and the seconds after which it is gone (None: it stays)."""

    filename: str
    purpose: str
    lifetime: float | None = None


class Files:
    """The files of all owners. What an owner stores counts against a quota, parts of unfinished uploads too."""

    def __init__(
        self,
        database: Database,
        folder: Path,
        *,
        limit: int,
        quota: int,
        reserve: int = RESERVE,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Open the store.

        Args:
            database: Knows whose files there are.
            folder: Holds their contents.
            limit: Bytes of one file.
            quota: Bytes of all files of one owner.
            reserve: Bytes of the disk that stay free.
            clock: Unix seconds.

        Raises:
            StorageFailed: The folder cannot be used.
        """
        self._objects = Objects(database, "file", "file", clock)
        self.parts = Objects(database, "part", "part of an upload", clock)
        """The parts of uploads: they name contents of the vault, and are counted."""
        self.vault = Vault(folder, (self._objects, self.parts), reserve=reserve)
        self.limit = limit
        self._quota = quota
        self._clock = clock
        self._writing: dict[str, int] = {}
        self._held: dict[str, int] = {}
        """Bytes of owners that are written and about to be stored."""
        self._version = 0
        """Grows with everything that is stored, so that a sum is known to be old."""
        self._sweeping: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Remove what a killed server left unfinished, then what nobody owns, and from now on what is over."""
        await asyncio.to_thread(self.vault.clear)
        self._sweeping = asyncio.create_task(self._sweep())

    async def stop(self) -> None:
        """End the sweep."""
        if self._sweeping is not None:
            self._sweeping.cancel()
            await asyncio.gather(self._sweeping, return_exceptions=True)

    async def add(
        self,
        owner: str,
        filename: str,
        purpose: str,
        chunks: AsyncIterator[bytes],
        lifetime: float | None = None,
        *,
        identifier: str | None = None,
        instead: int = 0,
    ) -> Stored:
        """Store a file as it comes. The payload of the object has the fields of OpenAI's files.

        Args:
            owner: Whose it is.
            filename: What it is called; only the last part of a path is kept.
            purpose: What for, at most 32 characters.
            chunks: Its bytes.
            lifetime: Seconds after which it is gone; None: it stays.
            identifier: Its id, which no other object has; a new one when left out.
            instead: Bytes of the owner that go when this is stored, and that do not count.

        Raises:
            PayloadTooLarge: It is larger than a file may be or the owner's quota allows, or the owner has too many.
            NotEnoughDisk: The disk is full; nothing is left behind.
            Overloaded: Too many files are being written.
        """

        async def about() -> Details:
            return Details(filename=filename, purpose=purpose, lifetime=lifetime)

        limit = max(self.limit, instead)
        return await self._store(owner, chunks, about, identifier or _identifier(), limit=limit, instead=instead)

    async def receive(
        self, owner: str, chunks: AsyncIterator[bytes], about: Callable[[], Awaitable["Details"]]
    ) -> Stored:
        """Store a file of which is only known at its end what it is; see `add`."""
        return await self._store(owner, chunks, about, _identifier(), limit=self.limit)

    async def _store(
        self,
        owner: str,
        chunks: AsyncIterator[bytes],
        about: Callable[[], Awaitable["Details"]],
        identifier: str,
        *,
        limit: int,
        instead: int = 0,
    ) -> Stored:
        async def store(digest: str, size: int) -> Stored:
            told = await about()
            now = self._clock()
            expires = None if told.lifetime is None else now + told.lifetime
            payload: dict[str, Any] = {
                "id": identifier,
                "object": "file",
                "bytes": size,
                "created_at": int(now),
                "expires_at": None if expires is None else int(expires),
                "filename": label(told.filename),
                "purpose": told.purpose,
                "status": "processed",
                "status_details": None,
            }
            return await self._objects.add(
                owner, identifier, payload, parent=digest, state=told.purpose, expires=expires
            )

        return await self.keep(owner, chunks, limit, store, instead=instead)

    async def keep(
        self,
        owner: str,
        chunks: AsyncIterator[bytes],
        limit: int,
        store: Callable[[str, int], Awaitable[Stored]],
        *,
        instead: int = 0,
    ) -> Stored:
        """Write a content within the owner's quota; `store` makes the object that names it (digest, size)."""
        own = self._writing.get(owner, 0)
        if own >= EACH or sum(self._writing.values()) >= AT_ONCE:
            raise Overloaded("Too many files are being stored at this moment; try again soon.", retry_after=1)
        self._writing[owner] = own + 1
        try:
            left = await self._left(owner) + instead
            if left <= 0:
                raise PayloadTooLarge(f"The stored files have the {self._quota} bytes they may have; delete some.")
            async with self.vault.keep(chunks, min(limit, left)) as content:
                await self._hold(owner, content.size, instead)
                try:
                    return await store(content.digest, content.size)
                finally:
                    self._let_go(owner, content.size)
        finally:
            self._writing[owner] -= 1
            if not self._writing[owner]:
                del self._writing[owner]

    async def get(self, owner: str, id: str) -> Stored:  # noqa: A002 - the column's name
        """One file.

        Raises:
            NotFound: There is none, it has expired, or it is somebody else's.
        """
        return await self._objects.get(owner, id)

    async def page(
        self,
        owner: str,
        *,
        purpose: str | None = None,
        after: str | None = None,
        limit: int = 20,
        order: Literal["asc", "desc"] = "desc",
    ) -> tuple[list[Stored], bool]:
        """Up to `limit` files, and whether there are more; see `Objects.page`."""
        return await self._objects.page(owner, state=purpose, after=after, limit=limit, order=order)

    def path(self, stored: Stored) -> Path:
        """Where the content of a file is: to be read, never to be changed."""
        if stored.parent is None:
            raise InternalError("A stored file has no content.")
        return self.vault.path(stored.parent)

    def blocks(self, stored: Stored) -> AsyncGenerator[bytes, None]:
        """The content of a file, block by block."""
        return self.vault.read(stored.parent or "")

    async def read(self, owner: str, id: str, limit: int) -> bytes:  # noqa: A002
        """The whole content of a file.

        Raises:
            NotFound: There is none, it has expired, or it is somebody else's.
            PayloadTooLarge: It has more than `limit` bytes.
        """
        stored = await self.get(owner, id)
        if stored.payload["bytes"] > limit:
            raise PayloadTooLarge(f"The file `{id}` is larger than the {limit} bytes that may be read here.")
        return b"".join([block async for block in self.blocks(stored)])

    async def remove(self, owner: str, id: str) -> None:  # noqa: A002
        """Delete a file.

        Raises:
            NotFound: There is none, it has expired, or it is somebody else's.
        """
        stored = await self.get(owner, id)
        await self._objects.remove(owner, id)
        self._version += 1
        await self.vault.collect(stored.parent or "")

    async def drop(self, part: Stored) -> None:
        """Remove a part of an upload."""
        await self.parts.remove(part.owner, part.id)
        self._version += 1
        await self.vault.collect(part.parent or "")

    async def expire(self) -> None:
        """Remove what is over: files, and parts of uploads that were not completed."""
        for objects in (self._objects, self.parts):
            for stored in await objects.expire():
                self._version += 1
                await self.vault.collect(stored.parent or "")

    async def _sweep(self) -> None:
        tidy = False
        while True:
            try:
                await self.expire()
                if not tidy:  # a server that runs leaves nothing that this would find
                    await self.vault.tidy()
                    tidy = True
            except Exception as error:  # noqa: BLE001 - the next sweep tries again
                log.failure("sweep failed", error)
            await asyncio.sleep(SWEEP)

    async def _left(self, owner: str) -> int:
        """Bytes that the owner may still store."""
        version = -1
        count = used = 0
        while version != self._version:
            version = self._version
            files, parts = await self._objects.total(owner, "bytes"), await self.parts.total(owner, "bytes")
            count, used = files[0] + parts[0], files[1] + parts[1]
        if count >= COUNT:
            raise PayloadTooLarge(f"There are {count} files stored, which is as many as may be; delete some.")
        return self._quota - used - self._held.get(owner, 0)

    async def _hold(self, owner: str, size: int, instead: int) -> None:
        if size > await self._left(owner) + instead:
            raise PayloadTooLarge(f"The stored files would have more than {self._quota} bytes; delete some.")
        self._held[owner] = self._held.get(owner, 0) + size

    def _let_go(self, owner: str, size: int) -> None:
        self._held[owner] -= size
        if not self._held[owner]:
            del self._held[owner]
        self._version += 1


def _identifier() -> str:
    return f"file-{secrets.token_hex(16)}"


def label(filename: str) -> str:
    """A file's name as it is shown: the last part of a path, without control characters, never empty."""
    last = filename.replace("\\", "/").rsplit("/", 1)[-1]
    shown = "".join(character for character in last if character.isprintable()).strip()[:NAME]
    return "file" if shown in {"", ".", ".."} else shown
