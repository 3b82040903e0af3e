"""Work that goes on without its client: each run writes a journal that anybody it belongs to may follow."""

import asyncio
from collections import OrderedDict
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Any, Protocol

from localai.core.errors import Overloaded
from localai.observe.logs import get
from localai.service.journal import Journal

log = get("runs")

RUNNING = 256
"""Runs at a time."""
KEPT = 64
"""Journals of finished runs that are kept."""
BYTES = 64 * 2**20
"""Bytes of all journals of finished runs."""
PATIENCE = 10.0
"""Seconds a run that is to end gets to write down how it ended."""

Key = tuple[str, str]
"""Owner and id."""


class Work(Protocol):
    """What a run does."""

    @property
    def response(self) -> dict[str, Any]:
        """Its result as it is now."""
        ...

    def frames(self) -> AsyncGenerator[Sequence[bytes], None]:
        """Do it, and say what happens. Failures are said and stored, not raised."""
        ...

    async def cancelled(self) -> Sequence[bytes]:
        """Store that it was cancelled; gives the last frames."""
        ...


class Run:
    """One run."""

    def __init__(self, work: Work) -> None:
        self.work = work
        self.journal = Journal()
        self.cancelling = False
        self.task: asyncio.Task[None] | None = None


class Runs:
    """All runs of this process."""

    def __init__(self) -> None:
        self._running: dict[Key, Run] = {}
        self._finished: OrderedDict[Key, Journal] = OrderedDict()

    def check(self) -> None:
        """Raise Overloaded when there are too many to start another."""
        if len(self._running) >= RUNNING:
            raise Overloaded(f"{RUNNING} responses run in the background already; try again soon.", retry_after=5)

    def start(self, owner: str, identifier: str, work: Work, first: Sequence[bytes] = ()) -> Journal:
        """Start a run (`check` comes first); gives its journal, which begins with the frames `first`."""
        run = Run(work)
        run.journal.add(first)
        key = owner, identifier
        self._running[key] = run
        run.task = asyncio.create_task(self._drive(key, run), name=f"run-{identifier}")
        return run.journal

    def running(self, owner: str, identifier: str) -> Work | None:
        """The work of a run that has not ended."""
        run = self._running.get((owner, identifier))
        return run.work if run is not None else None

    def journal(self, owner: str, identifier: str) -> Journal | None:
        """The journal of a run, running or finished not long ago."""
        run = self._running.get((owner, identifier))
        return run.journal if run is not None else self._finished.get((owner, identifier))

    async def cancel(self, owner: str, identifier: str) -> None:
        """End a run if it has not ended, and wait until that is stored."""
        run = self._running.get((owner, identifier))
        if run is not None and run.task is not None:
            if not run.cancelling:
                run.cancelling = True
                run.task.cancel()
            await asyncio.wait((run.task,), timeout=PATIENCE)

    def forget(self, owner: str, identifier: str) -> None:
        """Drop the journal of a finished run."""
        self._finished.pop((owner, identifier), None)

    async def stop(self, patience: float = PATIENCE) -> None:
        """Wait for all runs, whose models have been told to end, and end those that do not.

        What those were doing stays stored as begun; the next start marks it as failed.
        """
        tasks = [run.task for run in self._running.values() if run.task is not None]
        if tasks:
            await asyncio.wait(tasks, timeout=patience)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _drive(self, key: Key, run: Run) -> None:
        try:
            await self._work(run)
        except Exception as error:  # noqa: BLE001 - nobody waits for this task; the log is where it can be seen
            log.failure("run failed", error)
        finally:
            run.journal.close()
            self._running.pop(key, None)
            self._keep(key, run.journal)

    async def _work(self, run: Run) -> None:
        try:
            async with aclosing(run.work.frames()) as frames:
                async for each in frames:
                    run.journal.add(each)
        except asyncio.CancelledError:
            if not run.cancelling:
                raise
            run.journal.add(await run.work.cancelled())

    def _keep(self, key: Key, journal: Journal) -> None:
        self._finished[key] = journal
        while len(self._finished) > KEPT or sum(each.size for each in self._finished.values()) > BYTES:
            self._finished.popitem(last=False)
