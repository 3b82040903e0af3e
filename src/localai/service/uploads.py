"""Uploads: a large file in parts, in any order, put together when the client says in which."""

import hashlib
import secrets
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from typing import Any

from localai.core.errors import Conflict, InvalidRequest, NotFound
from localai.service.files import Details, Files, label
from localai.storage.database import Database
from localai.storage.objects import Objects, Stored

HOUR = 3600.0
"""Seconds for which an upload takes parts."""
PART = 64 * 2**20
"""Bytes of one part."""
UPLOAD = 8 * 2**30
"""Bytes of one upload."""
UNFINISHED = 100
"""Uploads of one owner that take parts."""


class Uploads:
    """The uploads of all owners. The payload of one has the fields of OpenAI's uploads, and `lifetime` of its file."""

    def __init__(self, database: Database, files: Files, clock: Callable[[], float] = time.time) -> None:
        self._objects = Objects(database, "upload", "upload", clock)
        self._files = files
        self._clock = clock

    async def add(self, owner: str, about: Details, size: int, kind: str) -> Stored:
        """Begin an upload.

        Args:
            owner: Whose the file will be.
            about: What it will be called and what it is for; its lifetime begins when it is complete.
            size: How many bytes it will have.
            kind: Its content type, which is kept as it is.

        Raises:
            InvalidRequest: It would be too large.
            Conflict: The owner has too many uploads under way.
        """
        if size > UPLOAD:
            raise InvalidRequest(f"An upload may have at most {UPLOAD} bytes.", param="bytes")
        await self._objects.expire()
        if len((await self._objects.page(owner, state="pending", limit=UNFINISHED))[0]) >= UNFINISHED:
            raise Conflict(f"{UNFINISHED} uploads are under way; complete or cancel some.")
        identifier = f"upload_{secrets.token_hex(16)}"
        now = self._clock()
        payload: dict[str, Any] = {
            "id": identifier,
            "object": "upload",
            "bytes": size,
            "created_at": int(now),
            "expires_at": int(now + HOUR),
            "filename": label(about.filename),
            "purpose": about.purpose,
            "mime_type": kind,
            "status": "pending",
            "file": None,
            "lifetime": about.lifetime,
        }
        return await self._objects.add(owner, identifier, payload, state="pending", expires=now + HOUR)

    async def add_part(self, owner: str, id: str, chunks: AsyncIterator[bytes]) -> Stored:  # noqa: A002
        """Store a part; its payload has the fields of OpenAI's upload parts.

        Raises:
            NotFound: There is no such upload, or its hour is over.
            Conflict: It was completed or cancelled.
            PayloadTooLarge: The part is larger than a part may be, or the owner's quota allows.
        """
        upload = await self._pending(owner, id)

        async def store(digest: str, size: int) -> Stored:
            await self._pending(owner, id)
            identifier = f"part_{secrets.token_hex(16)}"
            payload = {
                "id": identifier,
                "object": "upload.part",
                "created_at": int(self._clock()),
                "upload_id": id,
                "bytes": size,
            }
            return await self._files.parts.add(
                owner, identifier, payload, parent=digest, state=_mark(id), expires=upload.expires
            )

        return await self._files.keep(owner, chunks, PART, store)

    async def complete(self, owner: str, id: str, parts: Sequence[str], md5: str | None) -> Stored:  # noqa: A002
        """Make the file of these parts, in this order; the parts are gone then.

        Raises:
            NotFound: There is no such upload, or its hour is over.
            Conflict: It was completed or cancelled.
            InvalidRequest: A part is not of this upload or named twice, or the sum of bytes or the MD5 differs.
        """
        upload = await self._pending(owner, id)
        found = await self._named(owner, id, parts)
        size = sum(part.payload["bytes"] for part in found)
        if size != upload.payload["bytes"]:
            wanted = upload.payload["bytes"]
            raise InvalidRequest(f"The parts have {size} bytes; the upload was to have {wanted}.", param="part_ids")
        if not await self._objects.change(owner, id, state="completing", when="pending"):
            raise Conflict("This upload is being completed.", param="id")
        try:
            file = await self._file(upload, found, size, md5)
        except BaseException:
            await self._objects.change(owner, id, state="pending", when="completing")
            raise
        payload = {**upload.payload, "status": "completed", "file": file.payload}
        await self._objects.change(owner, id, payload=payload, state="completed")
        await self._clear(owner, id)
        return await self._objects.get(owner, id)

    async def cancel(self, owner: str, id: str) -> Stored:  # noqa: A002
        """Take no more parts, and drop those that came.

        Raises:
            NotFound: There is no such upload, or its hour is over.
            Conflict: It was completed or cancelled.
        """
        upload = await self._pending(owner, id)
        payload = {**upload.payload, "status": "cancelled"}
        if not await self._objects.change(owner, id, payload=payload, state="cancelled", when="pending"):
            raise Conflict("This upload is being completed.", param="id")
        await self._clear(owner, id)
        return await self._objects.get(owner, id)

    async def _pending(self, owner: str, identifier: str) -> Stored:
        upload = await self._objects.get(owner, identifier)
        if upload.state != "pending":
            raise Conflict(f"This upload takes no more parts: it is {upload.state}.", param="id")
        return upload

    async def _named(self, owner: str, identifier: str, parts: Sequence[str]) -> list[Stored]:
        if len(set(parts)) < len(parts):
            raise InvalidRequest("A part is named twice.", param="part_ids")
        found: list[Stored] = []
        for index, part in enumerate(parts):
            wrong = InvalidRequest("There is no such part of this upload.", param=f"part_ids.{index}")
            try:
                stored = await self._files.parts.get(owner, part)
            except NotFound:
                raise wrong from None
            if stored.payload["upload_id"] != identifier:
                raise wrong
            found.append(stored)
        return found

    async def _file(self, upload: Stored, parts: Sequence[Stored], size: int, md5: str | None) -> Stored:
        async def joined() -> AsyncGenerator[bytes, None]:
            summed = hashlib.md5(usedforsecurity=False)
            for part in parts:
                async for block in self._files.blocks(part):
                    summed.update(block)
                    yield block
            if md5 is not None and summed.hexdigest() != md5.lower():
                raise InvalidRequest("The MD5 of the parts is another one; send them again.", param="md5")

        told = upload.payload
        return await self._files.add(
            upload.owner, told["filename"], told["purpose"], joined(), told["lifetime"], instead=size
        )

    async def _clear(self, owner: str, identifier: str) -> None:
        """Drop all parts of an upload."""
        more = True
        while more:
            found, more = await self._files.parts.page(owner, state=_mark(identifier), limit=100)
            for part in found:
                await self._files.drop(part)


def _mark(identifier: str) -> str:
    """By what the parts of an upload are found: the state of each."""
    return identifier.removeprefix("upload_")
