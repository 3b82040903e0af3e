"""Bringing a database file to the schema that the program knows."""

import multiprocessing
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import create_engine, pool

from localai.core.errors import StorageFailed
from localai.storage import migrate as module
from localai.storage.migrate import known, migrate
from localai.storage.tables import metadata

NEWEST = known()[-1]
LATER = '''"""Another step."""

from alembic import op

revision = "9999"
down_revision = "{newest}"


def upgrade() -> None:
    """Change something."""
    op.execute("ALTER TABLE jobs ADD COLUMN more TEXT")
    {then}
'''


def version(path: Path) -> str:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute("SELECT version_num FROM alembic_version").fetchone()[0]


def run(path: Path, statement: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        return connection.execute(statement).fetchall()


@pytest.fixture
def later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Gives the program a second migration, which ends with the given line."""
    folder = tmp_path / "migrations"
    shutil.copytree(module._FOLDER, folder)

    def add(then: str = "") -> None:
        (folder / "versions" / "9999_more.py").write_text(LATER.format(then=then, newest=NEWEST))
        monkeypatch.setattr(module, "_FOLDER", folder)

    return add


def test_new_file(tmp_path: Path):
    """A new file, in a new folder, gets the newest schema, and a second time nothing happens."""
    path = tmp_path / "new" / "state.db"
    migrate(path)
    before = path.read_bytes()
    migrate(path)
    assert version(path) == known()[-1]
    assert path.read_bytes() == before
    assert sorted(file.name for file in path.parent.iterdir()) == ["state.db", "state.db.lock"]


def test_schema_is_the_tables(tmp_path: Path):
    """The migrations lead to exactly the tables that the program uses."""
    migrate(tmp_path / "state.db")
    engine = create_engine(f"sqlite:///{tmp_path / 'state.db'}", poolclass=pool.NullPool)
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []


def test_newer_schema(tmp_path: Path):
    """F31: a file of a newer version is refused with a clear message, and not touched."""
    path = tmp_path / "state.db"
    migrate(path)
    run(path, "UPDATE alembic_version SET version_num = '9999'")
    before = path.read_bytes()
    with pytest.raises(StorageFailed, match=r"newer version of LocalAI.*9999"):
        migrate(path)
    assert path.read_bytes() == before


def test_foreign_database(tmp_path: Path):
    """A database of another program is refused, and not touched."""
    path = tmp_path / "state.db"
    run(path, "CREATE TABLE theirs (x)")
    before = path.read_bytes()
    with pytest.raises(StorageFailed):
        migrate(path)
    assert path.read_bytes() == before


def test_update_keeps_a_copy(tmp_path: Path, later):
    """A file with data is copied before it is changed, and keeps its rows."""
    path = tmp_path / "state.db"
    migrate(path)
    run(path, "INSERT INTO jobs VALUES ('x', 'o', 'k', 's', '{}', 1, 1, NULL)")
    later()
    migrate(path)
    assert version(path) == "9999"
    assert run(path, "SELECT id, more FROM jobs") == [("x", None)]
    copy = tmp_path / "state.db.before-9999"
    assert version(copy) == NEWEST
    assert run(copy, "SELECT id FROM jobs") == [("x",)]
    assert copy.stat().st_mode & 0o077 == 0


def test_failed_update_changes_nothing(tmp_path: Path, later):
    """A migration that fails half-way leaves the file as it was, and the next try works."""
    path = tmp_path / "state.db"
    migrate(path)
    later("op.execute('SELECT no_such_column FROM jobs')")
    with pytest.raises(StorageFailed, match="not changed"):
        migrate(path)
    assert version(path) == NEWEST
    assert "more" not in str(run(path, "PRAGMA table_info(jobs)"))
    later()
    migrate(path)
    assert version(path) == "9999"


def test_at_the_same_time(tmp_path: Path):
    """Many processes that start at the same time make one database."""
    with multiprocessing.get_context("spawn").Pool(4) as workers:
        workers.map(migrate, [tmp_path / "state.db"] * 4)
    assert version(tmp_path / "state.db") == known()[-1]


def test_no_permission(tmp_path: Path):
    """A path that cannot be a database is refused."""
    (tmp_path / "state.db").mkdir()
    with pytest.raises(StorageFailed):
        migrate(tmp_path / "state.db")
