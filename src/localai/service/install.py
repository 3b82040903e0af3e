"""Installing a model: resolve, check the disk, download, inspect, write the model file: the moment it exists."""

import asyncio
import contextlib
import json
import secrets
import time
from collections.abc import AsyncIterator, Callable
from typing import Any, Literal, NamedTuple

from localai.core.caller import Caller
from localai.core.errors import Conflict, InternalError, InvalidRequest, LocalAIError, ModelNotFound, ShuttingDown
from localai.core.task import Value, Verb
from localai.fetch.download import download
from localai.fetch.http import Client
from localai.fetch.remote import Source
from localai.fetch.sources import STARTER, canonical, resolve, title
from localai.loader import name as names
from localai.loader.catalog import Catalog
from localai.loader.file import ModelFile
from localai.loader.header import Header
from localai.loader.inspect import inspect
from localai.observe.logs import get
from localai.storage.blobs import Blobs, hexadecimal
from localai.storage.database import Database
from localai.storage.owned import EVERYONE, Owned

log = get("install")


class InstallProgress(Value, frozen=True):
    """How far an installation is. Ends with phase "installed" or "failed"."""

    phase: Literal["resolving", "downloading", "verifying", "installed", "failed"]
    done: int = 0
    """Bytes."""
    total: int = 0
    """Bytes in all; 0 while that is not known."""
    name: str = ""
    """The name the model gets."""
    error: str | None = None
    """What went wrong, for people."""
    code: str | None = None
    """What went wrong, as a code of `core.errors`."""
    already: bool = False
    """The model was there before; nothing was done."""


class Recipe(NamedTuple):
    """What we know of a source besides its files."""

    name: str
    licence: str
    tasks: tuple[Verb, ...]


KEPT = 30 * 86400.0
"""Seconds for which the rows of installations are kept."""
RECIPES = {STARTER: Recipe("smollm2-135m", "Apache-2.0", ("chat", "complete", "tokenize"))}
"""By canonical reference."""


class _Wish(NamedTuple):
    reference: str
    name: str
    sha256: str | None


class _Run:
    """An installation under way and everybody who watches it; a slow watcher misses steps, never the end."""

    def __init__(self, wish: _Wish) -> None:
        self.wish = wish
        self.task: asyncio.Task[None] | None = None
        self._latest = InstallProgress(phase="resolving", name=wish.name)
        self._changed = asyncio.Event()

    def tell(self, progress: InstallProgress) -> None:
        self._latest = progress
        self._changed.set()
        self._changed = asyncio.Event()

    async def watch(self) -> AsyncIterator[InstallProgress]:
        while True:
            latest, changed = self._latest, self._changed
            yield latest
            if latest.phase in {"installed", "failed"}:
                return
            await changed.wait()


class Installer:
    """Runs installations, one per model however many ask. They go on when nobody watches any more."""

    def __init__(
        self,
        *,
        catalog: Catalog,
        blobs: Blobs,
        client: Client,
        database: Database,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._catalog = catalog
        self._blobs = blobs
        self._client = client
        self._database = database
        self._now = now
        self._runs: dict[str, _Run] = {}
        self._stopping = False

    async def start(self) -> None:
        """Mark what an earlier life of the server left unfinished (its downloads go on when asked for again)."""
        await self._jobs().prune(self._now() - KEPT, kind="install")
        for row in await self._jobs().rows(EVERYONE, kind="install", state="running"):
            await self._jobs().change(EVERYONE, row["id"], {"state": "interrupted", "updated": self._now()})

    async def stop(self) -> None:
        """End all installations; what they downloaded stays for the next time."""
        self._stopping = True
        tasks = [run.task for run in self._runs.values() if run.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for run in self._runs.values():  # those whose task was cancelled before its first step
            run.tell(_failed(run.wish.name, ShuttingDown()))

    async def install(
        self, reference: str, *, name: str | None, sha256: str | None, caller: Caller
    ) -> AsyncIterator[InstallProgress]:
        """Install what `reference` stands for, or join the installation of that model that is running.

        Args:
            reference: See `fetch.sources`.
            name: The model's name; made from the reference when None.
            sha256: What the model's file must hash to.
            caller: Who asks.

        Yields:
            Progress; everything that goes wrong is a last one of phase "failed".

        Raises:
            Forbidden: The caller may not install models.
        """
        caller.require("models")
        try:
            run = self._join(_wish(reference, name, sha256), caller)
        except LocalAIError as error:
            yield _failed(name or "", error)
            return
        async for progress in run.watch():
            yield progress

    def _join(self, wish: _Wish, caller: Caller) -> _Run:
        if self._stopping:
            raise ShuttingDown
        running = self._runs.get(wish.name)
        if running is not None:
            if running.wish != wish:
                raise Conflict(f"`{wish.name}` is being installed from another source; wait or give another name.")
            return running
        run = self._runs[wish.name] = _Run(wish)
        run.task = asyncio.create_task(self._run(run, caller))
        return run

    async def _run(self, run: _Run, caller: Caller) -> None:
        """The whole life of one installation: its row, its work, its end."""
        wish, job = run.wish, secrets.token_hex(8)
        state = "failed"
        try:
            await self._jobs().add(caller.owner, self._row(job, wish))
            last = await self._work(run)
            state = "done"
        except LocalAIError as error:
            last = _failed(wish.name, error)
        except asyncio.CancelledError:
            last, state = _failed(wish.name, ShuttingDown()), "interrupted"
        except Exception as error:  # noqa: BLE001 - whatever it is, those who watch must hear of the end
            log.failure("installation failed", error, job=job)
            last = _failed(wish.name, InternalError())
        failure = None if last.code is None else json.dumps({"code": last.code, "message": last.error})
        with contextlib.suppress(LocalAIError):
            change = {"state": state, "updated": self._now(), "error": failure}
            await self._jobs().change(EVERYONE, job, change)
        del self._runs[wish.name]
        run.tell(last)

    async def _work(self, run: _Run) -> InstallProgress:
        wish = run.wish
        if await asyncio.to_thread(self._present, wish):
            return InstallProgress(phase="installed", name=wish.name, already=True)
        source = await resolve(wish.reference, self._client, sha256=wish.sha256)
        before = set(await asyncio.to_thread(self._blobs.digests))
        (remote,) = source.files  # every kind of reference there is names one file
        digest = await download(remote, self._blobs, self._client, _phases(run))
        run.tell(InstallProgress(phase="verifying", name=wish.name))
        try:
            await asyncio.to_thread(self._write, wish, source, digest)
        except LocalAIError:
            if hexadecimal(digest) not in before:
                await asyncio.to_thread(self._discard, digest)
            raise
        return InstallProgress(phase="installed", name=wish.name)

    def _present(self, wish: _Wish) -> bool:
        """Whether this very model is installed.

        Raises:
            Conflict: Another one has the name.
        """
        try:
            file = self._catalog.file(wish.name)
        except ModelNotFound:
            return False
        same = wish.sha256 is None or file.files.get("model", "") == f"sha256:{wish.sha256}"
        if file.name == wish.name and file.source == wish.reference and same:
            return True
        raise Conflict(
            f"There is a model or alias `{wish.name}` already, from elsewhere; remove it with `localai rm {wish.name}` "
            "or give another name with --name.",
            param="name",
        )

    def _write(self, wish: _Wish, source: Source, digest: str) -> None:
        header = inspect(self._blobs.path(digest))
        self._catalog.write(_file(wish, source, digest, header))

    def _discard(self, digest: str) -> None:
        """Remove a blob that turned out to be no model, unless a model names it."""
        used = {known for model in self._catalog.models() for known in model.digests.values()}
        if hexadecimal(digest) not in used:
            self._blobs.remove(digest)

    def _row(self, job: str, wish: _Wish) -> dict[str, Any]:
        now = self._now()
        payload = json.dumps({"source": wish.reference, "name": wish.name, "sha256": wish.sha256})
        return {"id": job, "kind": "install", "state": "running", "payload": payload, "created": now, "updated": now}

    def _jobs(self) -> Owned:
        from localai.storage.tables import jobs  # noqa: PLC0415 - SQLAlchemy is imported once a database is open

        return Owned(self._database, jobs, "job")


def _wish(reference: str, name: str | None, sha256: str | None) -> _Wish:
    text = canonical(reference)
    recipe = RECIPES.get(text)
    chosen = name or (recipe.name if recipe else names.suggest(title(text)))
    if chosen is None:
        raise InvalidRequest("No model name can be made from this source; give one with --name.", param="name")
    return _Wish(text, names.parse(chosen), None if sha256 is None else _hash(sha256))


def _hash(sha256: str) -> str:
    try:
        return hexadecimal(sha256.lower())
    except InvalidRequest as error:
        raise InvalidRequest(error.message, param="sha256") from None


def _file(wish: _Wish, source: Source, digest: str, header: Header) -> ModelFile:
    recipe = RECIPES.get(source.reference)
    return ModelFile(
        name=wish.name,
        files={"model": digest},
        source=source.reference,
        licence=recipe.licence if recipe else (header.licence or "")[:256] or None,
        tasks=recipe.tasks if recipe else (),
    )


def _phases(run: _Run) -> Callable[[int, int], None]:
    """Tell a download's progress; what is counted after everything had come is verifying and unpacking."""
    phase: Literal["downloading", "verifying"] = "downloading"

    def tell(done: int, total: int) -> None:
        nonlocal phase
        run.tell(InstallProgress(phase=phase, done=done, total=total, name=run.wish.name))
        if done == total:
            phase = "verifying"

    return tell


def _failed(name: str, error: LocalAIError) -> InstallProgress:
    return InstallProgress(phase="failed", name=name, error=error.message, code=error.code)
