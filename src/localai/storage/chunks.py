"""The pieces of files in vector stores, with their vectors: the rows of one table, each with its owner."""

from collections.abc import AsyncGenerator, Sequence

from localai.core.task import Value
from localai.storage.database import Database

PAGE = 1000
"""Rows that are read at a time."""


class Chunk(Value, frozen=True):
    """One piece: its file, its number within the file, its text, and its vector as little-endian float32."""

    file: str
    number: int
    text: str
    vector: bytes


class Chunks:
    """All pieces of all stores."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, owner: str, store: str, pieces: Sequence[Chunk]) -> None:
        """Store pieces, all or none."""
        from localai.storage.tables import chunks  # noqa: PLC0415 - SQLAlchemy takes 0.3 s to import

        rows = [
            {
                "store": store,
                "file": piece.file,
                "number": piece.number,
                "owner": owner,
                "text": piece.text,
                "vector": piece.vector,
            }
            for piece in pieces
        ]
        async with self._database.write() as connection:
            await connection.execute(chunks.insert(), rows)

    async def count(self, store: str, file: str) -> int:
        """How many pieces a file of a store has."""
        from sqlalchemy import func, select  # noqa: PLC0415

        from localai.storage.tables import chunks  # noqa: PLC0415

        query = select(func.count()).select_from(chunks).where(chunks.c.store == store, chunks.c.file == file)
        async with self._database.read() as connection:
            return (await connection.execute(query)).scalar_one()

    async def pages(self, owner: str, store: str) -> AsyncGenerator[list[Chunk], None]:
        """All pieces of a store by file and number, a page at a time."""
        from sqlalchemy import tuple_  # noqa: PLC0415

        from localai.storage.tables import chunks  # noqa: PLC0415

        place = tuple_(chunks.c.file, chunks.c.number)
        last = ("", -1)
        while True:
            query = chunks.select().where(chunks.c.owner == owner, chunks.c.store == store, place > last)
            query = query.order_by(chunks.c.file, chunks.c.number).limit(PAGE)
            async with self._database.read() as connection:
                rows = (await connection.execute(query)).mappings().all()
            if not rows:
                return
            yield [
                Chunk(file=row["file"], number=row["number"], text=row["text"], vector=row["vector"]) for row in rows
            ]
            last = (rows[-1]["file"], rows[-1]["number"])

    async def texts(self, owner: str, store: str, places: Sequence[tuple[str, int]]) -> dict[tuple[str, int], str]:
        """The texts of some pieces, by file and number; those that are gone are left out."""
        from sqlalchemy import select, tuple_  # noqa: PLC0415

        from localai.storage.tables import chunks  # noqa: PLC0415

        query = select(chunks.c.file, chunks.c.number, chunks.c.text).where(
            chunks.c.owner == owner, chunks.c.store == store, tuple_(chunks.c.file, chunks.c.number).in_(list(places))
        )
        async with self._database.read() as connection:
            return {(row.file, row.number): row.text for row in (await connection.execute(query)).all()}

    async def remove(self, store: str, files: Sequence[str] | None = None) -> None:
        """Remove the pieces of a store, or those of some files of it."""
        from localai.storage.tables import chunks  # noqa: PLC0415

        async with self._database.write() as connection:
            if files is None:
                await connection.execute(chunks.delete().where(chunks.c.store == store))
            for first in range(0, len(files or ()), PAGE):
                some = chunks.c.file.in_((files or ())[first : first + PAGE])
                await connection.execute(chunks.delete().where(chunks.c.store == store, some))

    async def tidy(self, kind: str) -> None:
        """Remove the pieces of stores (objects of this kind) that are gone."""
        from sqlalchemy import select  # noqa: PLC0415

        from localai.storage.tables import chunks, objects  # noqa: PLC0415

        known = select(objects.c.id).where(objects.c.kind == kind)
        async with self._database.write() as connection:
            await connection.execute(chunks.delete().where(chunks.c.store.not_in(known)))
