"""The operator's services with a real catalog, database and keys, and a fleet that only pretends."""

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

from ggufs import build
from localai.auth.keys import Keys
from localai.config import Settings
from localai.core.errors import Conflict
from localai.core.model import Loaded, Model
from localai.fetch.http import Client
from localai.fleet.snapshot import MemoryNow, Row, Snapshot
from localai.loader.catalog import Catalog
from localai.loader.file import ModelFile
from localai.service.install import Installer
from localai.service.manage import Manage
from localai.storage.blobs import Blobs
from localai.storage.database import Database


class PretendedFleet:
    """Loads and unloads names; one that is in `stuck` cannot be unloaded."""

    def __init__(self) -> None:
        self.rows: dict[str, Row] = {}
        self.keep_alive: float | None = None
        self.stuck: set[str] = set()

    async def load(self, model: Model, keep_alive: float | None = None) -> Loaded:
        self.keep_alive = keep_alive
        self.rows[model.name] = Row(name=model.name, state="ready", memory=5, context=64, slots=1)
        return Loaded(tasks=("chat",))

    async def unload(self, name: str) -> None:
        if name in self.stuck:
            raise Conflict
        self.rows.pop(name, None)

    def snapshot(self) -> Snapshot:
        return Snapshot(memory=MemoryNow(total=100, reserved=40, used=30), models=tuple(self.rows.values()))


class House:
    """Everything `Manage` needs."""

    def __init__(self, folder: Path, database: Database) -> None:
        self.folder = folder
        blobs = Blobs(folder / "blobs")
        self.catalog = Catalog(folder / "models", blobs)
        self.fleet = PretendedFleet()
        self.keys = Keys(database)
        self.manage = Manage(
            settings=Settings(home=folder, context=256),
            catalog=self.catalog,
            fleet=self.fleet,  # type: ignore[arg-type] - the part of a fleet that is used
            installer=Installer(catalog=self.catalog, blobs=blobs, client=Client(), database=database),
            keys=self.keys,
        )
        self.catalog.write(ModelFile(name="echo", engine="echo", aliases=("parrot",), licence="MIT"))
        (folder / "models" / "tiny.gguf").write_bytes(build())


@contextlib.asynccontextmanager
async def house(folder: Path) -> AsyncIterator[House]:
    """Open it, close it."""
    database = await Database.open(folder / "state.db")
    built = House(folder, database)
    try:
        yield built
    finally:
        await built.keys.close()
        await database.close()
