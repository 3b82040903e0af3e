"""What an operator asks of the server: what is installed and loaded, load, unload, remove, keys."""

import asyncio
import io
import secrets
import time
from collections.abc import AsyncIterator, Mapping
from typing import Any

import msgspec

from localai.auth.keys import KeyRow, Keys
from localai.config import Settings
from localai.core.caller import Caller
from localai.core.errors import InvalidModel
from localai.core.model import Model
from localai.core.version import version
from localai.fleet.fleet import Fleet
from localai.loader.catalog import Catalog
from localai.loader.file import ModelFile
from localai.loader.header import Header
from localai.loader.manifest import manifests
from localai.loader.memory import estimate
from localai.service.install import Installer, InstallProgress

UNLOADED = "installed"
"""The state of a model that no process holds."""

Json = dict[str, Any]


class Manage:
    """The operator's services. Every method acts for a caller and shows only models that caller may use."""

    def __init__(self, *, settings: Settings, catalog: Catalog, fleet: Fleet, installer: Installer, keys: Keys) -> None:
        self._settings = settings
        self._catalog = catalog
        self._fleet = fleet
        self._installer = installer
        self._keys = keys
        self._started = time.monotonic()
        self.url = ""
        """Where the server listens; set once it does."""

    async def status(self, caller: Caller) -> Json:
        """The server as a whole; `memory` in bytes, `uptime` in seconds."""
        models = await self._models(caller)
        problems = await asyncio.to_thread(self._catalog.problems)
        snapshot = self._fleet.snapshot()
        memory = msgspec.structs.asdict(snapshot.memory)
        return {
            "version": version(),
            "uptime": round(time.monotonic() - self._started, 3),
            "home": str(self._settings.home),
            "url": self.url,
            "engines": sorted(manifests()),
            "memory": memory | {"free": max(0, snapshot.memory.total - snapshot.memory.reserved)},
            "models": len(models),
            "loaded": sum(row.state == "ready" for row in snapshot.models),
            "problems": problems if caller.models is None else {},
        }

    async def models(self, caller: Caller) -> list[Json]:
        """One row for each installed model."""
        states = self._states()
        models = await self._models(caller)
        return await asyncio.to_thread(lambda: [self._row(model, states) for model in models])

    async def model(self, caller: Caller, name: str) -> Json:
        """Everything about one model: its row, its file, its header and the memory it is going to take.

        Raises:
            ModelNotFound: There is none of that name for this caller.
        """
        model = await self._find(caller, name)
        return await asyncio.to_thread(self._details, model, self._states())

    async def remove(self, caller: Caller, name: str) -> None:
        """Unload a model and remove it with what nobody else needs.

        Raises:
            ModelNotFound, Conflict: As `Catalog.remove`; Conflict too when it stays busy.
        """
        model = await self._find(caller, name)
        if model.name in self._states():
            await self._fleet.unload(model.name)
        await asyncio.to_thread(self._catalog.remove, name)

    def loaded(self, caller: Caller) -> Json:
        """The processes that run models, and the memory they share."""
        snapshot = self._fleet.snapshot()
        rows = [msgspec.structs.asdict(row) for row in snapshot.models if caller.allows(row.name)]
        return {"memory": msgspec.structs.asdict(snapshot.memory), "models": rows}

    async def load(self, caller: Caller, name: str, keep_alive: float | None) -> Json:
        """Load a model, wait until it can answer, and answer its row."""
        model = await self._find(caller, name)
        done = await self._fleet.load(model, keep_alive)
        rows = [row for row in self._fleet.snapshot().models if row.name == model.name]
        return msgspec.structs.asdict(rows[0]) if rows else {"name": model.name, **msgspec.structs.asdict(done)}

    async def unload(self, caller: Caller, name: str) -> None:
        """Unload a model once it is idle; Conflict when it stays busy."""
        model = await self._find(caller, name)
        await self._fleet.unload(model.name)

    async def pull(
        self, caller: Caller, source: str, name: str | None, sha256: str | None
    ) -> AsyncIterator[InstallProgress]:
        """Install a model; what goes wrong is the last step."""
        async for step in self._installer.install(source, name=name, sha256=sha256, caller=caller):
            yield step

    async def keys(self) -> list[Json]:
        """All keys that are not revoked, without their secrets."""
        return [_key(row) for row in await self._keys.list() if row.revoked is None]

    async def create_key(
        self,
        caller: Caller,
        name: str,
        scopes: list[str],
        models: list[str] | None,
        expires: float | None,
        owner: str | None = None,
    ) -> Json:
        """Make a key; `secret` is shown this once.

        What is stored with it belongs to `owner`; without one, to the key's own name, so that two people who got a
        key each do not see each other's things, and a new key of the same name still sees those of the old one.
        """
        whose = owner or f"key:{name or secrets.token_hex(8)}"
        row, secret = await self._keys.create(name, scopes, models, expires, whose, creator=caller)
        return {**_key(row), "secret": secret}

    async def revoke_key(self, key: str) -> None:
        """Make a key void; NotFound when there is none."""
        await self._keys.revoke(key)

    async def _models(self, caller: Caller) -> list[Model]:
        models = await asyncio.to_thread(self._catalog.models)
        return [model for model in models if any(map(caller.allows, (model.name, *model.aliases)))]

    async def _find(self, caller: Caller, name: str) -> Model:
        model = await asyncio.to_thread(self._catalog.find, name)
        if not caller.allows(name):
            caller.require_model(model.name)
        return model

    def _states(self) -> dict[str, str]:
        return {row.name: row.state for row in self._fleet.snapshot().models}

    def _row(self, model: Model, states: Mapping[str, str]) -> Json:
        file, header = self._catalog.file(model.name), self._header(model)
        return {
            "name": model.name,
            "engine": model.engine,
            "tasks": list(model.tasks),
            "aliases": list(model.aliases),
            "size": model.size,
            "context": model.context or (header.context if header else None),
            "quantisation": header.quantisation if header else None,
            "parameters": header.parameters if header else None,
            "licence": file.licence or (header.licence if header else None),
            "source": file.source,
            "state": states.get(model.name, UNLOADED),
            "modified": model.created,
        }

    def _details(self, model: Model, states: Mapping[str, str]) -> Json:
        file, header = self._catalog.file(model.name), self._header(model)
        facts: Json = {} if header is None else msgspec.to_builtins(header)
        facts.pop("template", None)
        return self._row(model, states) | {
            "file": _yaml(file),
            "template": model.template or (header.template if header else None),
            "parameters": file.parameters.model_dump(mode="json", exclude_none=True),
            "header": facts,
            "estimate": {} if header is None else self._estimate(model, header),
        }

    def _header(self, model: Model) -> Header | None:
        try:
            return self._catalog.header(model)
        except InvalidModel:
            return None

    def _estimate(self, model: Model, header: Header) -> Json:
        """What it takes for one request of its context (the server's where it names none), in bytes."""
        trained = header.context or self._settings.context
        context = model.context or min(self._settings.context, trained)
        memory = estimate(header, context=context, slots=model.slots or 1, options=model.options)
        return msgspec.structs.asdict(memory) | {"total": memory.total, "context": context}


def _key(row: KeyRow) -> Json:
    return {
        "id": row.id,
        "name": row.name,
        "owner": row.owner,
        "scopes": sorted(row.scopes),
        "models": None if row.models is None else list(row.models),
        "created": row.created,
        "expires": row.expires,
        "used": row.last_used,
    }


def _yaml(file: ModelFile) -> str:
    from ruamel.yaml import YAML  # noqa: PLC0415 - slow to import, and only needed to show a file

    written = io.StringIO()
    YAML().dump(file.written(), written)  # pyright: ignore[reportUnknownMemberType]
    return written.getvalue()
