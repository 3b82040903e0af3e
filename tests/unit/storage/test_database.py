"""The database: durable, bounded in its waits, and closed to what it does not know."""

import asyncio
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy.exc import IntegrityError

from localai.core.errors import StorageFailed
from localai.storage import database as module
from localai.storage.database import Database


@pytest.fixture
async def database(tmp_path: Path):
    """An open database."""
    opened = await Database.open(tmp_path / "state.db")
    yield opened
    await opened.close()


async def pragma(database: Database, name: str, *, writing: bool = False) -> object:
    async with database.write() if writing else database.read() as connection:
        return (await connection.exec_driver_sql(f"PRAGMA {name}")).scalar()


async def insert(database: Database, identifier: str) -> None:
    async with database.write() as connection:
        await connection.exec_driver_sql("INSERT INTO jobs VALUES (?, 'o', 'k', 's', '{}', 1, 1, NULL)", (identifier,))


async def count(database: Database) -> object:
    async with database.read() as connection:
        return (await connection.exec_driver_sql("SELECT count(*) FROM jobs")).scalar()


async def test_settings(database: Database):
    """Every connection writes ahead, brings commits to the disk, waits for locks and checks foreign keys."""
    for writing in (False, True):
        assert await pragma(database, "journal_mode", writing=writing) == "wal"
        assert await pragma(database, "synchronous", writing=writing) == 2
        assert await pragma(database, "busy_timeout", writing=writing) == 5000
        assert await pragma(database, "foreign_keys", writing=writing) == 1


async def test_private(tmp_path: Path, database: Database):
    """The database and what SQLite puts beside it can be read by their owner only."""
    await insert(database, "a")
    for file in tmp_path.iterdir():
        assert file.stat().st_mode & 0o077 == 0, file


async def test_commit_and_rollback(database: Database):
    """What a write block did is there when it ends, and gone when it raises."""
    await insert(database, "a")

    async def fail() -> None:
        async with database.write() as connection:
            await connection.exec_driver_sql("DELETE FROM jobs")
            raise KeyError

    with pytest.raises(KeyError):
        await fail()
    assert await count(database) == 1


async def test_a_new_file_has_its_log_before_anybody_connects(tmp_path: Path):
    """The file is switched to its write-ahead log when it is opened, so that no two connections do it at once."""
    database = await Database.open(tmp_path / "new.db")
    with closing(sqlite3.connect(tmp_path / "new.db")) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    await database.close()


async def test_readers_cannot_write(database: Database):
    """A reading connection changes nothing."""
    with pytest.raises(StorageFailed):
        async with database.read() as connection:
            await connection.exec_driver_sql("DELETE FROM jobs")


async def test_same_id_twice(database: Database):
    """A row that breaks a rule of its table is the caller's matter, not a failure of the disk."""
    await insert(database, "a")
    with pytest.raises(IntegrityError):
        await insert(database, "a")


async def test_one_writer(database: Database):
    """Writers take turns: of fifty at the same time none fails and none is lost, while readers go on."""
    await asyncio.gather(
        *(insert(database, str(number)) for number in range(50)), *(count(database) for _ in range(20))
    )
    assert await count(database) == 50


async def test_reading_while_writing(database: Database):
    """A reader sees the state before a write that is not finished."""
    async with database.write() as connection:
        await connection.exec_driver_sql("INSERT INTO jobs VALUES ('x', 'o', 'k', 's', '{}', 1, 1, NULL)")
        assert await count(database) == 0
    assert await count(database) == 1


async def test_locked_by_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """F31: a lock that another process holds is waited for so long and no longer, and then it works again."""
    monkeypatch.setattr(module, "BUSY", 0.2)
    database = await Database.open(tmp_path / "state.db")
    with closing(sqlite3.connect(tmp_path / "state.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StorageFailed):
            await insert(database, "a")
        other.execute("ROLLBACK")
    await insert(database, "a")
    await database.close()


async def test_acknowledged_is_there(tmp_path: Path):
    """What was acknowledged is there after the process was killed."""
    code = (
        "import asyncio, os, sys; from pathlib import Path; from localai.storage.database import Database\n"
        "async def main():\n"
        "    database = await Database.open(Path(sys.argv[1]))\n"
        "    async with database.write() as connection:\n"
        "        await connection.exec_driver_sql(\"INSERT INTO jobs VALUES ('x', 'o', 'k', 's', '{}', 1, 1, NULL)\")\n"
        "    os.kill(os.getpid(), 9)\n"
        "asyncio.run(main())\n"
    )
    killed = subprocess.run([sys.executable, "-c", code, str(tmp_path / "state.db")], check=False, timeout=60)
    assert killed.returncode == -9
    database = await Database.open(tmp_path / "state.db")
    assert await count(database) == 1
    await database.close()


async def test_replaced_file(tmp_path: Path):
    """F31: a file that is no database is refused at the start, with what to do."""
    (tmp_path / "state.db").write_bytes(b"not a database, but long enough to be looked at" * 100)
    with pytest.raises(StorageFailed, match="damaged"):
        await Database.open(tmp_path / "state.db")


def test_light_import(tmp_path: Path):
    """Importing the module costs nothing: SQLAlchemy comes with the first opening, Alembic only with a migration."""
    code = (
        "import asyncio, sys; from pathlib import Path; import localai.storage.owned\n"
        "from localai.storage.database import Database\n"
        "assert not {'sqlalchemy', 'alembic'} & set(sys.modules)\n"
        "async def main():\n"
        "    database = await Database.open(Path(sys.argv[1]))\n"
        "    async with database.read(): pass\n"
        "    await database.close()\n"
        "asyncio.run(main())\n"
        "print('alembic' in sys.modules, end='')\n"
    )

    def run(path: Path) -> str:
        command = [sys.executable, "-c", code, str(path)]
        return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout

    assert [run(tmp_path / "state.db") for _ in range(2)] == ["True", "False"]
