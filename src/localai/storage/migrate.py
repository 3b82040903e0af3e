"""Bringing the database file to the schema this program knows; Alembic is imported only if there is something to do."""

import contextlib
import os
import re
import sqlite3
import sys
from collections.abc import Generator
from pathlib import Path

from localai.core.errors import StorageFailed

_FOLDER = Path(__file__).parent / "migrations"
_VERSION = re.compile(r"(\d{4})_\w+\.py")


def known() -> list[str]:
    """The schema versions this program knows, oldest first."""
    return sorted(found[1] for file in (_FOLDER / "versions").iterdir() if (found := _VERSION.fullmatch(file.name)))


def migrate(path: Path) -> None:
    """Make the file or bring it up to date; a copy is kept beside it (`NAME.before-VERSION`) before it is changed.

    Blocks on the disk and on another process that migrates the same file.

    Raises:
        StorageFailed: The file was written by a newer version of the program, is no database, or cannot be used.
    """
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        if _current(path) == known()[-1]:
            return
        with _locked(path.with_name(path.name + ".lock")):
            found = _current(path)
            if found != known()[-1]:
                if found is not None:
                    _copy(path, path.with_name(f"{path.name}.before-{known()[-1]}"))
                _upgrade(path)
    except OSError as error:
        raise StorageFailed(f"The database {path} cannot be opened; check the folder's permissions.") from error
    except sqlite3.Error as error:
        raise StorageFailed(
            f"The database {path} is damaged or in use by something else; restore it from a backup, or move it away "
            "to start with an empty one."
        ) from error


def _current(path: Path) -> str | None:
    """The schema version of the file; None for an empty file."""
    with contextlib.closing(sqlite3.connect(path, timeout=5)) as connection:
        if connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'alembic_version'").fetchone() is None:
            if connection.execute("SELECT 1 FROM sqlite_master").fetchone() is not None:
                raise sqlite3.DatabaseError
            return None
        row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    version = None if row is None else str(row[0])
    if version is not None and version not in known():
        raise StorageFailed(
            f"The database {path} was written by a newer version of LocalAI (its schema is {version}, this program "
            f"knows up to {known()[-1]}); start that version, or restore the backup made before the update."
        )
    return version


def _copy(source: Path, target: Path) -> None:
    os.close(os.open(target, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600))
    with contextlib.closing(sqlite3.connect(source)) as old, contextlib.closing(sqlite3.connect(target)) as new:
        old.backup(new)


def _upgrade(path: Path) -> None:
    """Run what is missing, in one transaction."""
    from alembic.command import upgrade  # noqa: PLC0415 - 0.3 s that a normal start does not need
    from alembic.config import Config  # noqa: PLC0415
    from sqlalchemy import URL, create_engine, pool  # noqa: PLC0415
    from sqlalchemy.exc import DBAPIError  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(_FOLDER).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    engine = create_engine(
        URL.create("sqlite", database=str(path)), poolclass=pool.NullPool, connect_args={"isolation_level": None}
    )
    try:
        with engine.connect() as connection:
            connection.exec_driver_sql("BEGIN IMMEDIATE")
            config.attributes["connection"] = connection
            upgrade(config, "head")
            connection.exec_driver_sql("COMMIT")
    except DBAPIError as error:
        raise StorageFailed(f"The database {path} could not be brought up to date; it was not changed.") from error
    finally:
        engine.dispose()


@contextlib.contextmanager
def _locked(path: Path) -> Generator[None]:
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        if sys.platform != "win32":
            import fcntl  # noqa: PLC0415 - not there on Windows

            fcntl.flock(file, fcntl.LOCK_EX)
        yield
    finally:
        os.close(file)
