"""Objects that are many to one parent: counted by state, taken in turns, and changed a field at a time."""

import json
from collections.abc import Mapping
from typing import Any

from localai.storage.objects import PAGE, Objects, Stored, field, stored
from localai.storage.owned import EVERYONE, Owner


class Members(Objects):
    """The objects of one kind, as in `Objects`."""

    async def tally(
        self, owner: Owner, parent: str, number: str, *, having: tuple[str, str] | None = None
    ) -> dict[str, tuple[int, int]]:
        """For each state how many objects of `parent` are in it, and the sum of a number of their payloads.

        Args:
            owner: Whose.
            parent: What they are part of.
            number: The field of the payload that is summed.
            having: Only those whose payload has this text in this field (field, text).
        """
        from sqlalchemy import func, select  # noqa: PLC0415 - SQLAlchemy takes 0.3 s to import

        from localai.storage.tables import objects  # noqa: PLC0415

        wanted = [*self._mine(owner), objects.c.parent == parent]
        if having is not None:
            wanted.append(field(having[0]).as_string() == having[1])
        summed = func.sum(field(number).as_integer())
        query = select(objects.c.state, func.count(), summed).where(*wanted).group_by(objects.c.state)
        async with self._database.read() as connection:
            return {state: (count, total or 0) for state, count, total in (await connection.execute(query)).all()}

    async def all(
        self, owner: Owner, parent: str, state: str, *, having: tuple[str, str] | None = None
    ) -> list[Stored]:
        """All objects of `parent` in that state, oldest first; whoever stored them has bounded how many there are."""
        found: list[Stored] = []
        more, last = True, None
        while more:
            page, more = await self.page(
                owner, parent=parent, state=state, after=last, limit=PAGE, order="asc", having=having
            )
            found += page
            last = page[-1].id if page else None
        return found

    async def owners(self, state: str) -> list[str]:
        """Who has objects in that state."""
        from sqlalchemy import select  # noqa: PLC0415

        from localai.storage.tables import objects  # noqa: PLC0415

        wanted = [*self._mine(EVERYONE), objects.c.state == state]
        query = select(objects.c.owner).where(*wanted).distinct().order_by(objects.c.owner)
        async with self._database.read() as connection:
            return list((await connection.execute(query)).scalars())

    async def lost(self, name: str, kind: str) -> list[Stored]:
        """Everyone's objects that name, in this field of their payload, an object of `kind` that is gone; one page."""
        from sqlalchemy import select  # noqa: PLC0415

        from localai.storage.tables import objects  # noqa: PLC0415

        others = objects.alias()
        there = select(others.c.id).where(others.c.kind == kind)
        query = objects.select().where(*self._mine(EVERYONE), field(name).as_string().not_in(there)).limit(PAGE)
        async with self._database.read() as connection:
            return [stored(row) for row in (await connection.execute(query)).mappings()]

    async def patch(
        self,
        known: Stored,
        fields: Mapping[str, Any],
        *,
        state: str | None = None,
        when: str | None = None,
        expires: float | None = None,
    ) -> Stored | None:
        """Set some fields of the payload and nothing else, whatever others change meanwhile.

        Args:
            known: The object; one that was removed and stored anew is another.
            fields: What to set in the payload.
            state: The new state.
            when: Do nothing unless it is in this state.
            expires: The new end of its time.

        Returns:
            The object as it is now; None when it is gone or not in the state `when`.
        """
        from localai.storage.tables import objects  # noqa: PLC0415

        same = [*self._mine(known.owner, known.id), objects.c.number == known.number]
        async with self._database.write() as connection:
            row = (await connection.execute(objects.select().where(*same))).mappings().first()
            if row is None or (when is not None and row["state"] != when):
                return None
            payload = {**json.loads(row["payload"]), **fields}
            values: dict[str, Any] = {"payload": json.dumps(payload), "updated": self._clock()}
            if state is not None:
                values["state"] = state
            if expires is not None:
                values["expires"] = expires
            await connection.execute(objects.update().where(*same).values(values))
        return stored({**row, **values})

    async def move(self, owner: Owner, parent: str, before: str, after: str, *, having: tuple[str, str]) -> None:
        """Put all objects of `parent` that are in the state `before` into the state `after`; `having` as above."""
        from localai.storage.tables import objects  # noqa: PLC0415

        wanted = [*self._mine(owner), objects.c.parent == parent, objects.c.state == before]
        wanted.append(field(having[0]).as_string() == having[1])
        async with self._database.write() as connection:
            await connection.execute(objects.update().where(*wanted).values(state=after, updated=self._clock()))
