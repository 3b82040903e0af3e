"""The files of vector stores: what is attached to which store, how far it is, and the batches it came in."""

import hashlib
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

from localai.core.caller import Caller
from localai.core.errors import Conflict, NotFound, PayloadTooLarge
from localai.core.task import Value
from localai.service.chunking import Rule
from localai.service.files import Files
from localai.service.filters import Attribute
from localai.storage.chunks import Chunks
from localai.storage.database import Database
from localai.storage.members import Members
from localai.storage.objects import Stored

COUNT = 10_000
"""Files of one store."""

State = Literal["in_progress", "completed", "failed", "cancelled"]


class Attachment(Value, frozen=True):
    """A file to be attached; without a rule, the model's context decides how it is cut."""

    file: str
    attributes: dict[str, Attribute] = {}
    rule: Rule | None = None


class Attached:
    """The files of all stores.

    The payload of one holds `file` and `filename`; `attributes`; `rule` ([tokens, overlap], None until it is
    decided) and whether it is `auto`; the `batch` it came in; `pieces` and `usage_bytes`; `error` ([code,
    message]); and `models`, what the key that attached it may use.
    """

    def __init__(
        self, database: Database, chunks: Chunks, files: Files, clock: Callable[[], float] = time.time
    ) -> None:
        self.objects = Members(database, "vector_file", "file in this vector store", clock)
        self._batches = Members(database, "vector_batch", "file batch in this vector store", clock)
        self._chunks = chunks
        self._files = files

    async def attach(self, caller: Caller, store: str, wanted: Sequence[Attachment], batch: str = "") -> list[Stored]:
        """Attach files, to be read in the background; one that is attached already is read anew.

        Raises:
            NotFound: One of the files is not there; nothing was attached.
            PayloadTooLarge: The store would have too many files.
            Conflict: One of them is being attached by another request.
        """
        from sqlalchemy.exc import IntegrityError  # noqa: PLC0415 - SQLAlchemy takes 0.3 s to import

        rows = [(_id(store, each.file), await self._payload(caller, each, batch)) for each in wanted]
        if len({identifier for identifier, _ in rows}) < len(rows):
            raise Conflict("The same file is named twice.", param="file_ids")
        held = sum(count for count, _ in (await self.objects.tally(caller.owner, store, "pieces")).values())
        if held + len(rows) > COUNT:
            raise PayloadTooLarge(f"A vector store may hold at most {COUNT} files; this one has {held}.")
        for each in wanted:
            await self._detach(caller.owner, store, each.file)
        await self._chunks.remove(store, [each.file for each in wanted])  # of a server that was killed in between
        try:
            return await self.objects.add_all(caller.owner, rows, parent=store, state="in_progress")
        except IntegrityError:
            raise Conflict("One of these files is just being added to this vector store.", param="file_id") from None

    async def _payload(self, caller: Caller, wanted: Attachment, batch: str) -> dict[str, Any]:
        try:
            file = await self._files.get(caller.owner, wanted.file)
        except NotFound:
            raise NotFound(f"There is no file `{wanted.file[:64]}`.", param="file_id") from None
        return {
            "file": wanted.file,
            "filename": file.payload["filename"],
            "attributes": wanted.attributes,
            "rule": None if wanted.rule is None else [wanted.rule.size, wanted.rule.overlap],
            "auto": wanted.rule is None,
            "batch": batch,
            "pieces": 0,
            "usage_bytes": 0,
            "error": None,
            "models": None if caller.models is None else list(caller.models),
        }

    async def get(self, owner: str, store: str, file: str) -> Stored:
        """One file of a store; NotFound when there is none."""
        return await self.objects.get(owner, _id(store, file))

    async def page(
        self,
        owner: str,
        store: str,
        *,
        state: str | None,
        after: str | None,
        before: str | None,
        limit: int,
        order: Literal["asc", "desc"],
        batch: str | None = None,
    ) -> tuple[list[Stored], bool]:
        """Up to `limit` files of a store or of one batch, and whether there are more.

        `after` and `before` are ids of files; for the rest see `Objects.page`.
        """
        return await self.objects.page(
            owner,
            parent=store,
            state=state,
            after=None if after is None else _id(store, after),
            before=None if before is None else _id(store, before),
            limit=limit,
            order=order,
            having=None if batch is None else ("batch", batch),
        )

    async def describe(self, stored: Stored, attributes: Mapping[str, Attribute]) -> Stored:
        """Replace the attributes of a file."""
        changed = await self.objects.patch(stored, {"attributes": dict(attributes)})
        return changed or await self.objects.get(stored.owner, stored.id)

    async def detach(self, owner: str, store: str, file: str) -> None:
        """Take a file out of a store; NotFound when it is not there. The file itself stays."""
        await self.objects.remove(owner, _id(store, file))
        await self._chunks.remove(store, [file])

    async def _detach(self, owner: str, store: str, file: str) -> None:
        try:
            await self.objects.get(owner, _id(store, file))
        except NotFound:
            return
        await self.detach(owner, store, file)

    async def drop_deleted(self) -> list[str]:
        """Take files that were deleted for good out of their stores, and say which stores those were."""
        lost = await self.objects.lost("file", "file")
        for each in lost:
            await self._detach(each.owner, each.parent or "", each.payload["file"])
        return list(dict.fromkeys(each.parent or "" for each in lost))

    async def counts(self, owner: str, store: str, batch: str | None = None) -> dict[str, tuple[int, int]]:
        """For each state how many files of a store (or batch) are in it, and the bytes they take."""
        having = None if batch is None else ("batch", batch)
        return await self.objects.tally(owner, store, "usage_bytes", having=having)

    async def begin(self, caller: Caller, store: str, wanted: Sequence[Attachment]) -> Stored:
        """Attach many files as a batch; errors as of `attach`."""
        identifier = f"vsfb_{secrets.token_hex(16)}"
        await self.attach(caller, store, wanted, identifier)
        return await self._batches.add(caller.owner, identifier, {}, parent=store, state="in_progress")

    async def batch(self, owner: str, store: str, id: str) -> Stored:  # noqa: A002 - the column's name
        """One batch; its state is `cancelled` once it was, and its files tell the rest. NotFound when there is none."""
        stored = await self._batches.get(owner, id)
        if stored.parent != store:
            raise NotFound("There is no such file batch in this vector store.", param="id")
        return stored

    async def cancel(self, batch: Stored) -> Stored:
        """Stop reading the files of a batch; those that are read already stay."""
        store, having = batch.parent or "", ("batch", batch.id)
        await self.objects.move(batch.owner, store, "in_progress", "cancelled", having=having)
        stopped = await self.objects.all(batch.owner, store, "cancelled", having=having)
        await self._chunks.remove(store, [each.payload["file"] for each in stopped])
        if stopped:
            await self._batches.patch(batch, {}, state="cancelled")
        return await self._batches.get(batch.owner, batch.id)


def _id(store: str, file: str) -> str:
    """The row of a file in a store: the file's own id names the file itself."""
    return f"vsf_{hashlib.sha256(f'{store} {file}'.encode()).hexdigest()[:32]}"
