"""What clients store (files, batches, responses, ...): rows of one table, each with its owner and its kind."""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from localai.core.errors import NotFound
from localai.core.task import Value
from localai.storage.database import Database
from localai.storage.owned import Everyone, Owner

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement
    from sqlalchemy.ext.asyncio import AsyncConnection

PAGE = 1000
"""Objects of the longest page."""


class Stored(Value, frozen=True):
    """One stored object."""

    number: int
    """Grows with every object that is stored; the order of lists."""
    id: str
    owner: str
    kind: str
    parent: str | None
    """The object it is part of."""
    state: str
    payload: dict[str, Any]
    created: float
    updated: float
    expires: float | None
    """Unix time after which it is gone; None: stays."""


class Objects:
    """The objects of one kind. What has expired or belongs to somebody else does not exist."""

    def __init__(self, database: Database, kind: str, noun: str, clock: Callable[[], float] = time.time) -> None:
        """Take the kind as it stands in the table, and the word for one of them in messages."""
        self._database = database
        self._kind = kind
        self._noun = noun
        self._clock = clock

    async def add(
        self,
        owner: str,
        id: str,  # noqa: A002 - the column's name
        payload: Mapping[str, Any],
        *,
        parent: str | None = None,
        state: str = "",
        expires: float | None = None,
    ) -> Stored:
        """Store a new object."""
        (stored,) = await self.add_all(owner, [(id, payload)], parent=parent, state=state, expires=expires)
        return stored

    async def add_all(
        self,
        owner: str,
        many: Sequence[tuple[str, Mapping[str, Any]]],
        *,
        parent: str | None = None,
        state: str = "",
        expires: float | None = None,
    ) -> list[Stored]:
        """Store several (pairs of id and payload) in this order, all or none."""
        from localai.storage.tables import objects  # noqa: PLC0415 - SQLAlchemy takes 0.3 s to import

        now = self._clock()
        stored: list[Stored] = []
        async with self._database.write() as connection:
            for identifier, payload in many:
                row: dict[str, Any] = {
                    "id": identifier,
                    "owner": owner,
                    "kind": self._kind,
                    "parent": parent,
                    "state": state,
                    "created": now,
                    "updated": now,
                    "expires": expires,
                }
                done = await connection.execute(objects.insert().values({**row, "payload": json.dumps(payload)}))
                (number,) = done.inserted_primary_key or (0,)
                stored.append(Stored(number=number, payload=dict(payload), **row))
        return stored

    async def get(self, owner: Owner, id: str) -> Stored:  # noqa: A002
        """One object.

        Raises:
            NotFound: There is none, it has expired, or it is somebody else's.
        """
        async with self._database.read() as connection:
            return await self._get(connection, owner, id)

    async def page(
        self,
        owner: Owner,
        *,
        parent: str | None = None,
        state: str | None = None,
        after: str | None = None,
        before: str | None = None,
        limit: int = 20,
        order: Literal["asc", "desc"] = "desc",
        having: tuple[str, str] | None = None,
    ) -> tuple[list[Stored], bool]:
        """Up to `limit` objects in that order, and whether there are more.

        Args:
            owner: Whose.
            parent: Only those that are part of it.
            state: Only those in it.
            after: Only those that come behind this one in that order.
            before: Only those that come before this one in that order.
            limit: How many, at most PAGE.
            order: `asc`: oldest first.
            having: Only those whose payload has this text in this field (field, text).

        Raises:
            NotFound: There is no object `after` or `before`.
        """
        from localai.storage.tables import objects  # noqa: PLC0415

        number = objects.c.number
        wanted = self._mine(owner)
        if parent is not None:
            wanted.append(objects.c.parent == parent)
        if state is not None:
            wanted.append(objects.c.state == state)
        if having is not None:
            wanted.append(field(having[0]).as_string() == having[1])
        limit = min(limit, PAGE)
        async with self._database.read() as connection:
            if after is not None:
                edge = (await self._get(connection, owner, after)).number
                wanted.append(number < edge if order == "desc" else number > edge)
            if before is not None:
                edge = (await self._get(connection, owner, before)).number
                wanted.append(number > edge if order == "desc" else number < edge)
            query = objects.select().where(*wanted)
            query = query.order_by(number.desc() if order == "desc" else number.asc()).limit(limit + 1)
            rows = [stored(row) for row in (await connection.execute(query)).mappings()]
        return rows[:limit], len(rows) > limit

    async def total(self, owner: Owner, field: str) -> tuple[int, int]:
        """How many objects there are, also those that have expired and are still stored, and the sum of a number.

        Args:
            owner: Whose.
            field: The name of the number in the payload.
        """
        from sqlalchemy import JSON, func, select, type_coerce  # noqa: PLC0415

        from localai.storage.tables import objects  # noqa: PLC0415

        number = func.sum(type_coerce(objects.c.payload, JSON)[field].as_integer())
        query = select(func.count(), number).where(objects.c.kind == self._kind)
        if not isinstance(owner, Everyone):
            query = query.where(objects.c.owner == owner)
        async with self._database.read() as connection:
            count, total = (await connection.execute(query)).one()
        return count, total or 0

    async def change(
        self,
        owner: Owner,
        id: str,  # noqa: A002
        *,
        payload: Mapping[str, Any] | None = None,
        state: str | None = None,
        when: str | None = None,
        expires: float | None = None,
    ) -> bool:
        """Change one object; False when it is not in the state `when`, and nothing was changed.

        Raises:
            NotFound: There is none, it has expired, or it is somebody else's.
        """
        from localai.storage.tables import objects  # noqa: PLC0415

        values: dict[str, Any] = {"updated": self._clock()}
        if payload is not None:
            values["payload"] = json.dumps(payload)
        if state is not None:
            values["state"] = state
        if expires is not None:
            values["expires"] = expires
        async with self._database.write() as connection:
            known = await self._get(connection, owner, id)
            if when is not None and known.state != when:
                return False
            await connection.execute(objects.update().where(*self._mine(owner, id)).values(values))
        return True

    async def remove(self, owner: Owner, id: str) -> None:  # noqa: A002
        """Remove one object, and those that are part of it.

        Raises:
            NotFound: There is none, it has expired, or it is somebody else's.
        """
        from localai.storage.tables import objects  # noqa: PLC0415

        async with self._database.write() as connection:
            known = await self._get(connection, owner, id)
            await connection.execute(
                objects.delete().where((objects.c.parent == id) & (objects.c.owner == known.owner))
            )
            await connection.execute(objects.delete().where(*self._mine(owner, id)))

    async def expire(self) -> list[Stored]:
        """Remove everyone's objects of this kind whose time is over, and say which they were."""
        from localai.storage.tables import objects  # noqa: PLC0415

        over = (objects.c.kind == self._kind) & (objects.c.expires <= self._clock())
        async with self._database.write() as connection:
            found = [stored(row) for row in (await connection.execute(objects.select().where(over))).mappings()]
            for each in found:
                await connection.execute(objects.delete().where(objects.c.parent == each.id))
            await connection.execute(objects.delete().where(over))
        return found

    async def count(self, owner: Owner, *, parent: str | None = None) -> int:
        """How many objects there are; with `parent`, only those that are part of it."""
        from sqlalchemy import func, select  # noqa: PLC0415

        from localai.storage.tables import objects  # noqa: PLC0415

        wanted = self._mine(owner)
        if parent is not None:
            wanted.append(objects.c.parent == parent)
        async with self._database.read() as connection:
            return (await connection.execute(select(func.count()).where(*wanted))).scalar_one()

    async def trim(self, keep: int) -> None:
        """Leave every owner the newest `keep` objects of this kind, and remove the others."""
        from sqlalchemy import func, select  # noqa: PLC0415

        from localai.storage.tables import objects  # noqa: PLC0415

        place = func.row_number().over(partition_by=objects.c.owner, order_by=objects.c.number.desc()).label("place")
        placed = select(objects.c.number, place).where(objects.c.kind == self._kind).subquery()
        over = select(placed.c.number).where(placed.c.place > keep)
        async with self._database.write() as connection:
            await connection.execute(objects.delete().where(objects.c.number.in_(over)))

    async def _get(self, connection: "AsyncConnection", owner: Owner, id: str) -> Stored:  # noqa: A002
        from localai.storage.tables import objects  # noqa: PLC0415

        found = (await connection.execute(objects.select().where(*self._mine(owner, id)))).mappings().first()
        if found is None:
            raise NotFound(f"There is no such {self._noun}.", param="id")
        return stored(found)

    def _mine(self, owner: Owner, id: str | None = None) -> list["ColumnElement[bool]"]:  # noqa: A002
        from localai.storage.tables import objects  # noqa: PLC0415

        alive = (objects.c.expires.is_(None)) | (objects.c.expires > self._clock())
        conditions: list[ColumnElement[bool]] = [objects.c.kind == self._kind, alive]
        if not isinstance(owner, Everyone):
            conditions.append(objects.c.owner == owner)
        if id is not None:
            conditions.append(objects.c.id == id)
        return conditions


def field(name: str) -> Any:
    """A field of the payload, in a query."""
    from sqlalchemy import JSON, type_coerce  # noqa: PLC0415

    from localai.storage.tables import objects  # noqa: PLC0415

    return type_coerce(objects.c.payload, JSON)[name]


def stored(row: Mapping[Any, Any]) -> Stored:
    """A row of the table as an object."""
    return Stored(**{**row, "payload": json.loads(row["payload"])})
