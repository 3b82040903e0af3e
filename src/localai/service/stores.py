"""Vector stores: their names, their embedding model, and how long they live."""

import secrets
import time
from collections.abc import Callable, Mapping
from typing import Any, Literal

from localai.core.caller import Caller
from localai.core.errors import ModelNotFound, PayloadTooLarge, TaskNotSupported
from localai.core.task import Embed
from localai.service.perform import Perform
from localai.storage.chunks import Chunks
from localai.storage.database import Database
from localai.storage.members import Members
from localai.storage.objects import Stored

COUNT = 1000
"""Stores of one owner."""
FOREVER = 253_402_300_000.0
"""A Unix time that does not come: the end of what never expires."""
IDLE = 60.0
"""Seconds within which a store that was just used is not marked as used again."""
_DAY = 86400.0

PROBE = Embed(inputs=("x",))
"""Stands for any embedding, to find a model that can do it."""


class Stores:
    """The stores of all owners.

    The payload of one holds `name`, `description`, `metadata`; `model` (None until one is needed) and `dimensions`
    of its vectors (None until there are some); `days` it lives without being used (None: for ever) and when it was
    last `active`.
    """

    def __init__(
        self,
        database: Database,
        chunks: Chunks,
        perform: Perform,
        default: str | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Open the stores; `default` names the embedding model of stores that ask for none."""
        self._objects = Members(database, "vector_store", "vector store", clock)
        self._chunks = chunks
        self._perform = perform
        self._default = default
        self._clock = clock

    async def create(
        self,
        caller: Caller,
        *,
        name: str,
        description: str | None,
        metadata: Mapping[str, str],
        days: int | None,
        model: str | None,
    ) -> Stored:
        """Make an empty store.

        Raises:
            ModelNotFound, TaskNotSupported: The model asked for is not there or makes no embeddings.
            PayloadTooLarge: The caller has as many stores as one may have.
        """
        count, _ = await self._objects.total(caller.owner, "dimensions")
        if count >= COUNT:
            raise PayloadTooLarge(f"There are {count} vector stores, which is as many as may be; delete some.")
        await self._perform.refresh()
        now = self._clock()
        payload: dict[str, Any] = {
            "name": name,
            "description": description,
            "metadata": dict(metadata),
            "model": self._known(caller, model),
            "dimensions": None,
            "days": days,
            "active": now,
        }
        identifier = f"vs_{secrets.token_hex(16)}"
        return await self._objects.add(caller.owner, identifier, payload, expires=_end(now, days))

    def _known(self, caller: Caller, asked: str | None) -> str | None:
        """The installed name of the model; None where none is asked for and none is installed yet."""
        if asked is not None:
            try:
                return self._perform.choose(caller, asked, PROBE).name
            except (ModelNotFound, TaskNotSupported) as error:
                raise type(error)(error.message, param="embedding_model") from None
        try:
            return self._perform.choose(caller, self._default, PROBE).name
        except ModelNotFound:
            return None

    async def get(self, owner: str, id: str) -> Stored:  # noqa: A002 - the column's name
        """One store; NotFound when there is none, its time is over, or it is somebody else's."""
        return await self._objects.get(owner, id)

    async def page(
        self,
        owner: str,
        *,
        after: str | None,
        before: str | None,
        limit: int,
        order: Literal["asc", "desc"],
    ) -> tuple[list[Stored], bool]:
        """Up to `limit` stores, and whether there are more; see `Objects.page`."""
        return await self._objects.page(owner, after=after, before=before, limit=limit, order=order)

    async def update(self, stored: Stored, fields: Mapping[str, Any]) -> Stored:
        """Change `name`, `metadata` or `days`."""
        now = self._clock()
        days = fields.get("days", stored.payload["days"])
        changed = await self._objects.patch(stored, {**fields, "active": now}, expires=_end(now, days))
        return changed or await self._objects.get(stored.owner, stored.id)

    async def touch(self, stored: Stored) -> None:
        """Note that a store is used: its time begins anew."""
        now = self._clock()
        if now - stored.payload["active"] > IDLE:
            await self._objects.patch(stored, {"active": now}, expires=_end(now, stored.payload["days"]))

    async def model(self, caller: Caller, stored: Stored) -> str:
        """The embedding model of a store, chosen now where it has none yet.

        Raises:
            ModelNotFound, TaskNotSupported: It is not installed (any more), or nothing is that can do this.
        """
        await self._perform.refresh()
        known: str | None = stored.payload["model"]
        if known is not None:
            return self._perform.choose(caller, known, PROBE).name
        name = self._perform.choose(caller, self._default, PROBE).name
        await self._objects.patch(stored, {"model": name})
        return name

    async def measure(self, stored: Stored, dimensions: int) -> None:
        """Note how long the vectors of a store are."""
        await self._objects.patch(stored, {"dimensions": dimensions})

    async def remove(self, stored: Stored) -> None:
        """Remove a store with its files and their pieces; the files themselves stay."""
        await self._objects.remove(stored.owner, stored.id)
        await self._chunks.remove(stored.id)

    async def tidy(self) -> None:
        """Remove pieces of stores that are gone: what a server left that was killed while it removed one."""
        await self._chunks.tidy("vector_store")

    async def expire(self) -> list[str]:
        """Remove the stores whose time is over, and say which they were."""
        gone = [stored.id for stored in await self._objects.expire()]
        for store in gone:
            await self._chunks.remove(store)
        return gone


def _end(now: float, days: int | None) -> float:
    return FOREVER if days is None else now + days * _DAY
