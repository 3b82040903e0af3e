"""The requests of batches and their results: a result is written once, and what has one is never asked again."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

from localai.core.task import Value
from localai.storage.database import Database

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement

State = Literal["pending", "done", "failed", "cancelled", "expired"]


class Line(Value, frozen=True):
    """One request of a batch."""

    number: int
    """Its place, from 1."""
    name: str
    """What the client calls it (`custom_id`)."""
    state: State
    body: str
    """The request as JSON; empty once there is a result."""
    result: str | None
    """The result as JSON."""


class Lines:
    """The lines of all batches. Every call names the owner of the batch as well; another's has no lines."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, owner: str, batch: str, many: Sequence[tuple[int, str, str]]) -> None:
        """Store requests: number, name and body each."""
        from localai.storage.tables import lines  # noqa: PLC0415 - SQLAlchemy takes 0.3 s to import

        rows = [
            {"batch": batch, "owner": owner, "number": number, "state": "pending", "name": name, "body": body}
            for number, name, body in many
        ]
        if rows:
            async with self._database.write() as connection:
                await connection.execute(lines.insert(), rows)

    async def page(
        self, owner: str, batch: str, *, after: int = 0, limit: int = 100, states: Sequence[State] = ()
    ) -> list[Line]:
        """The next lines behind number `after`, in order; only those in one of `states`, when there are any."""
        from localai.storage.tables import lines  # noqa: PLC0415

        wanted = [*_of(owner, batch), lines.c.number > after]
        if states:
            wanted.append(lines.c.state.in_(states))
        query = lines.select().where(*wanted).order_by(lines.c.number).limit(limit)
        async with self._database.read() as connection:
            return [_line(row) for row in (await connection.execute(query)).mappings()]

    async def commit(self, owner: str, batch: str, number: int, state: State, result: str) -> bool:
        """Write the result of a line, unless it has one (or was given up): then False, and nothing changes."""
        from localai.storage.tables import lines  # noqa: PLC0415

        which = (*_of(owner, batch), lines.c.number == number, lines.c.state == "pending")
        values = {"state": state, "result": result, "body": ""}
        async with self._database.write() as connection:
            done = await connection.execute(lines.update().where(*which).values(values))
        return done.rowcount == 1

    async def give_up(self, owner: str, batch: str, state: State) -> None:
        """Put all lines that have no result into this state."""
        from localai.storage.tables import lines  # noqa: PLC0415

        which = (*_of(owner, batch), lines.c.state == "pending")
        async with self._database.write() as connection:
            await connection.execute(lines.update().where(*which).values({"state": state, "body": ""}))

    async def counts(self, owner: str, batch: str) -> dict[State, int]:
        """How many lines there are in each state."""
        from sqlalchemy import func, select  # noqa: PLC0415

        from localai.storage.tables import lines  # noqa: PLC0415

        query = select(lines.c.state, func.count()).where(*_of(owner, batch)).group_by(lines.c.state)
        async with self._database.read() as connection:
            return {row[0]: row[1] for row in await connection.execute(query)}

    async def remove(self, owner: str, batch: str) -> None:
        """Forget all lines of a batch."""
        from localai.storage.tables import lines  # noqa: PLC0415

        async with self._database.write() as connection:
            await connection.execute(lines.delete().where(*_of(owner, batch)))


def _of(owner: str, batch: str) -> tuple["ColumnElement[bool]", ...]:
    from localai.storage.tables import lines  # noqa: PLC0415

    return lines.c.batch == batch, lines.c.owner == owner


def _line(row: Any) -> Line:
    return Line(number=row["number"], name=row["name"], state=row["state"], body=row["body"], result=row["result"])
