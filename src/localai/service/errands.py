"""Loads and installations that a client starts and does not wait for, and how far they are."""

import asyncio
import contextlib
import secrets
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

from localai.core.caller import Caller
from localai.core.errors import LocalAIError, NotFound, Overloaded, from_code
from localai.core.model import Model
from localai.observe.logs import get
from localai.service.install import InstallProgress
from localai.service.manage import Manage
from localai.service.perform import Perform

log = get("errands")

AT_ONCE = 32
"""Loads and installations under way together."""
KEPT = 256
"""Installations that are remembered, those that ended first forgotten first."""


class Installation:
    """One installation that somebody started."""

    def __init__(self, owner: str, source: str, first: InstallProgress, now: float) -> None:
        self.id = f"job_{secrets.token_hex(16)}"
        self.owner = owner
        self.source = source
        self.progress = first
        self.started = now
        """Unix seconds."""
        self.ended: float | None = None
        self.resolved = asyncio.Event()
        """Set once its size is known, or its end."""

    @property
    def name(self) -> str:
        """What the model is going to be called."""
        return self.progress.name


class Errands:
    """Runs them to their ends, and knows about installations for a while after."""

    def __init__(self, manage: Manage, perform: Perform, now: Callable[[], float] = time.time) -> None:
        self._manage = manage
        self._perform = perform
        self._now = now
        self._tasks: set[asyncio.Task[None]] = set()
        self._installations: dict[str, Installation] = {}

    async def stop(self) -> None:
        """Stop waiting for them; an installation itself is the installer's to end."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def load(self, caller: Caller, name: str) -> None:
        """Begin to load a model.

        Raises:
            ModelNotFound: There is none of that name for this caller.
            Overloaded: Too many are under way.
        """
        self._admit()
        await self._perform.refresh()
        self._begin(self._load(self._perform.model(caller, name)))

    async def install(self, caller: Caller, source: str, patience: float = 2.0) -> Installation:
        """Begin to install a model; waits up to `patience` seconds until its size is known.

        Raises:
            LocalAIError: It cannot be begun.
        """
        self._admit()
        steps = self._manage.pull(caller, source, None, None)
        first = await anext(steps)
        if first.code is not None:
            raise _failure(first)
        installation = Installation(caller.owner, source, first, self._now())
        self._remember(installation)
        self._begin(self._watch(installation, steps))
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(installation.resolved.wait(), patience)
        return installation

    def installations(self, caller: Caller) -> tuple[Installation, ...]:
        """This caller's installations, oldest first."""
        return tuple(each for each in self._installations.values() if each.owner == caller.owner)

    def installation(self, caller: Caller, identifier: str) -> Installation:
        """One of this caller's installations.

        Raises:
            NotFound: There is none, or it is somebody else's.
        """
        found = self._installations.get(identifier)
        if found is None or found.owner != caller.owner:
            raise NotFound("There is no such download job.", param="job_id")
        return found

    def _admit(self) -> None:
        if len(self._tasks) >= AT_ONCE:
            raise Overloaded("Too many models are being loaded or installed; try again later.", retry_after=5)

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _load(self, model: Model) -> None:
        try:
            await self._perform.load(model)
        except LocalAIError as error:
            log.warning("load failed", code=error.code)
        except Exception as error:  # noqa: BLE001 - nobody waits for it who could be told
            log.failure("load failed", error)

    async def _watch(self, installation: Installation, steps: AsyncIterator[InstallProgress]) -> None:
        try:
            async for step in steps:
                installation.progress = step
                if step.phase != "resolving":
                    installation.resolved.set()
        finally:
            installation.ended = self._now()
            installation.resolved.set()

    def _remember(self, installation: Installation) -> None:
        self._installations[installation.id] = installation
        over = [each.id for each in self._installations.values() if each.ended is not None]
        for identifier in over[: max(0, len(self._installations) - KEPT)]:
            del self._installations[identifier]


def _failure(step: InstallProgress) -> LocalAIError:
    return from_code(step.code or "", step.error or "", param="model")
