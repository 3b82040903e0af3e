"""Rows that belong to somebody: every query names the owner, and what belongs to another does not exist."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from localai.core.errors import NotFound
from localai.storage.database import Database

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement, Table

PAGE = 1000
"""Rows of the longest list."""


class Everyone:
    """The owner filter of an administrator: all rows."""


EVERYONE: Final = Everyone()
Owner = str | Everyone


class Owned:
    """The rows of one table with the columns `id`, `owner` and `created`."""

    def __init__(self, database: Database, table: "Table", noun: str) -> None:
        """Take the table, and the word for one of its rows in messages."""
        self._database = database
        self._table = table
        self._noun = noun

    async def add(self, owner: str, values: Mapping[str, Any]) -> None:
        """Store a new row for `owner`."""
        async with self._database.write() as connection:
            await connection.execute(self._table.insert().values({**values, "owner": owner}))

    async def get(self, owner: Owner, id: str) -> Mapping[str, Any]:  # noqa: A002 - the column's name
        """One row.

        Raises:
            NotFound: There is none, or it is somebody else's.
        """
        async with self._database.read() as connection:
            found = (await connection.execute(self._table.select().where(*self._mine(owner, id)))).mappings().first()
        if found is None:
            raise self._missing()
        return dict(found)

    async def rows(self, owner: Owner, *, limit: int = PAGE, **equal: Any) -> Sequence[Mapping[str, Any]]:
        """The newest rows, at most `limit`; `equal` are columns and the values they must have."""
        wanted = [self._table.c[name] == value for name, value in equal.items()]
        query = self._table.select().where(*self._mine(owner), *wanted)
        query = query.order_by(self._table.c.created.desc(), self._table.c.id).limit(min(limit, PAGE))
        async with self._database.read() as connection:
            return [dict(row) for row in (await connection.execute(query)).mappings()]

    async def change(self, owner: Owner, id: str, values: Mapping[str, Any]) -> None:  # noqa: A002
        """Change columns of one row.

        Raises:
            NotFound: There is none, or it is somebody else's.
        """
        async with self._database.write() as connection:
            done = await connection.execute(self._table.update().where(*self._mine(owner, id)).values(dict(values)))
        if done.rowcount == 0:
            raise self._missing()

    async def remove(self, owner: Owner, id: str) -> None:  # noqa: A002
        """Remove one row.

        Raises:
            NotFound: There is none, or it is somebody else's.
        """
        async with self._database.write() as connection:
            done = await connection.execute(self._table.delete().where(*self._mine(owner, id)))
        if done.rowcount == 0:
            raise self._missing()

    async def prune(self, before: float, **equal: Any) -> None:
        """Remove everyone's rows created before that Unix time; `equal` as in `rows`."""
        wanted = [self._table.c[name] == value for name, value in equal.items()]
        async with self._database.write() as connection:
            await connection.execute(self._table.delete().where(self._table.c.created < before, *wanted))

    def _mine(self, owner: Owner, id: str | None = None) -> list["ColumnElement[bool]"]:  # noqa: A002
        conditions: list[ColumnElement[bool]] = []
        if not isinstance(owner, Everyone):
            conditions.append(self._table.c.owner == owner)
        if id is not None:
            conditions.append(self._table.c.id == id)
        return conditions

    def _missing(self) -> NotFound:
        return NotFound(f"There is no such {self._noun}.", param="id")
