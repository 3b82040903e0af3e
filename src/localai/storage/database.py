"""The database: SQLite with a write-ahead log, durable commits, one writer and a few readers."""

import asyncio
import contextlib
import sqlite3
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from localai.core.errors import StorageFailed
from localai.storage.migrate import migrate

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

BUSY = 5.0
"""Seconds to wait for a lock that another process holds."""
_READERS = 4


class Database:
    """Connections to one database file; made by `open`."""

    def __init__(self, reader: "AsyncEngine", writer: "AsyncEngine") -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def open(cls, path: Path) -> Self:
        """Open the file, making or migrating it.

        Raises:
            StorageFailed: See `migrate`.
        """
        return cls(*await asyncio.to_thread(_prepare, path))

    @asynccontextmanager
    async def read(self) -> AsyncGenerator["AsyncConnection"]:
        """A connection that sees one consistent state and cannot change it.

        Raises:
            StorageFailed: The database does not answer.
        """
        async with _translated(), self._reader.connect() as connection:
            yield connection

    @asynccontextmanager
    async def write(self) -> AsyncGenerator["AsyncConnection"]:
        """The one writing connection, in a transaction that is on the disk when the block ends without an error.

        Raises:
            StorageFailed: The database does not answer, or the disk refused; nothing was changed.
        """
        async with _translated(), self._writer.begin() as connection:
            yield connection

    async def close(self) -> None:
        """Close all connections."""
        await self._reader.dispose()
        await self._writer.dispose()


@asynccontextmanager
async def _translated() -> AsyncGenerator[None]:
    from sqlalchemy.exc import DBAPIError, IntegrityError  # noqa: PLC0415
    from sqlalchemy.exc import TimeoutError as Exhausted  # noqa: PLC0415

    try:
        yield
    except IntegrityError:  # the rows' fault and not the disk's: for the caller to tell
        raise
    except (DBAPIError, Exhausted) as error:
        raise StorageFailed("The database is busy or its disk refuses; try again, and check the disk.") from error


def _prepare(path: Path) -> tuple["AsyncEngine", "AsyncEngine"]:
    """Migrate and make the two engines; in a thread, because it imports SQLAlchemy (0.3 s) and touches the disk."""
    migrate(path)
    _log_ahead(path)
    return _engine(path, readers=_READERS), _engine(path)


def _log_ahead(path: Path) -> None:
    """Switch the file to its write-ahead log, for good: of two connections that both try, one would fail at once."""
    try:
        with contextlib.closing(sqlite3.connect(path, timeout=BUSY)) as connection:
            connection.execute("PRAGMA journal_mode=WAL")
    except sqlite3.Error as error:
        raise StorageFailed(f"The database {path} is in use by something else, or its disk refuses.") from error


def _engine(path: Path, *, readers: int | None = None) -> "AsyncEngine":
    """An engine of `readers` connections, or of the one that writes."""
    from sqlalchemy import URL, event  # noqa: PLC0415
    from sqlalchemy.ext.asyncio import create_async_engine  # noqa: PLC0415

    engine = create_async_engine(
        URL.create("sqlite+aiosqlite", database=str(path)),
        pool_size=readers or 1,
        max_overflow=0,
        pool_timeout=30,
        connect_args={"timeout": BUSY, "isolation_level": None},
    )

    def connected(connection: Any, _record: object) -> None:
        cursor = connection.cursor()
        for pragma in ("journal_mode=WAL", "synchronous=FULL", f"busy_timeout={int(BUSY * 1000)}", "foreign_keys=ON"):
            cursor.execute(f"PRAGMA {pragma}")
        if readers:
            cursor.execute("PRAGMA query_only=ON")
        cursor.close()

    def begun(connection: Any) -> None:
        # The driver would begin only at the first write, and then fail if another process wrote meanwhile.
        connection.exec_driver_sql("BEGIN DEFERRED" if readers else "BEGIN IMMEDIATE")

    event.listen(engine.sync_engine, "connect", connected)
    event.listen(engine.sync_engine, "begin", begun)
    return engine
