"""The fleet: the one owner of what runs. It tells the plan what happened and carries out what the plan decides."""

import asyncio
import contextlib
import itertools
from collections.abc import AsyncGenerator, Callable

from localai.config import Settings
from localai.core.errors import ShuttingDown
from localai.core.event import Done, Event, Progress
from localai.core.model import Loaded, Model
from localai.core.task import Detokenize, Render, Task, Tokenize
from localai.fleet import census, process, state
from localai.fleet.budget import Budget
from localai.fleet.loop import Loop
from localai.fleet.snapshot import Snapshot
from localai.fleet.ticket import GaveWay, Ticket
from localai.fleet.worker import Patience
from localai.loader.catalog import Catalog
from localai.observe.logs import get
from localai.observe.metrics import Metrics

log = get("fleet")

_REREAD = 5.0
"""Seconds between two readings of the machine's memory while models are loaded."""
_NOTEWORTHY = 0.02
"""Share of the budget by which it must change for the plan to hear of it."""
_HASTE = 0.5
"""Seconds a process gets to end by itself when the server's own time is over."""
_POLITE = 4
"""Times that a background request stops, while its prompt is read, for others that come."""
_CALM = 60.0
"""Seconds at most that it then waits until their prompts are read."""
_UNLOAD = 60.0
"""Seconds that an unload waits for running requests."""


class Fleet:
    """Runs tasks on models, and models on the machine. All methods are called on one event loop."""

    def __init__(
        self,
        *,
        settings: Settings,
        catalog: Catalog,
        metrics: Metrics,
        command: process.Command = process.worker,
        limits: state.Limits | None = None,
        patience: Patience | None = None,
    ) -> None:
        """Prepare; nothing runs before `start`.

        Args:
            settings: Memory, times and queue lengths.
            catalog: Gives the headers of models.
            metrics: Told of loads, waits, refusals and crashes.
            command: What is started as a worker.
            limits: Figures of the plan that are no settings; queue and queue_timeout always come from the settings.
            patience: Figures of workers that are no settings; load and stall always come from the settings.
        """
        limits = state.change(limits or state.Limits(), queue=settings.queue, queue_timeout=settings.queue_timeout)
        patience = state.change(patience or Patience(), load=settings.load_timeout, stall=settings.stall_timeout)
        self._settings = settings
        self._budget = Budget(settings, catalog)
        self._loop = Loop(limits=limits, patience=patience, run=settings.run, command=command, metrics=metrics)
        self._requests = itertools.count(1)
        self._rereading: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """End what a killed server left behind and read the machine's memory."""
        census.adopt()
        killed = await asyncio.to_thread(process.sweep, self._settings.run)
        if killed:
            log.warning("left-over processes ended", count=killed)
        self._loop.tell(state.MemoryChanged(budget=await self._budget.read(())))
        if not self._budget.fixed:
            self._rereading = asyncio.create_task(self._reread())

    async def stop(self, drain: float) -> None:
        """Refuse new requests, let running ones finish for `drain` seconds, fail the rest, end every process."""
        self._loop.tell(state.Closing())
        if self._rereading is not None:
            self._rereading.cancel()
        await self._until(lambda: not self._loop.tickets, drain)
        for worker in self._loop.roster.workers():
            worker.link.fail(ShuttingDown())
        await self._until(lambda: not self._loop.tickets, _HASTE)
        self._loop.tell(state.Closing(now=True))
        for worker in self._loop.roster.workers():
            worker.stop(_HASTE)
        await self._until(lambda: not self._loop.roster.workers(), None)
        self._loop.close()

    async def run(
        self,
        model: Model,
        task: Task,
        *,
        keep_alive: float | None = None,
        on_unread: Callable[[Done], None] | None = None,
        background: bool = False,
    ) -> AsyncGenerator[tuple[Event, ...], None]:
        """Run a task; give its events in batches as they come, Progress of the wait first, Done last.

        Closing the generator cancels the task in its worker. The slot is free when the worker says so.

        Args:
            model: An installed model.
            task: What to do.
            keep_alive: Seconds the model stays loaded after it; None takes the model's or the server's.
            on_unread: Told the end of an answer that was cancelled, when the worker tells it: what it used counts.
            background: It gives way to all that are not, and waits for as long as it takes.

        Raises:
            LocalAIError: Refused, or failed; nothing follows.
        """
        light = isinstance(task, Tokenize | Detokenize | Render)
        for given_way in itertools.count():
            ticket = await self._ask(model, light=light, keep_alive=keep_alive, background=background)
            ticket.on_unread = on_unread
            ticket.firm = given_way >= _POLITE
            try:
                async for stage in ticket.stages():
                    yield (Progress(stage=stage),)
                if background:
                    await self._calm(ticket)
                stream = await ticket.open(task, self._settings.request_timeout)
                while True:
                    batch = await stream.batch()
                    if not ticket.begun.is_set():
                        ticket.hear(batch)
                    yield batch
                    if isinstance(batch[-1], Done):
                        return
            except GaveWay:
                continue
            finally:
                ticket.close()

    async def load(self, model: Model, keep_alive: float | None = None) -> Loaded:
        """Load a model, or return at once when it is loaded.

        Raises:
            LocalAIError: It cannot be loaded, or not now.
        """
        ticket = await self._ask(model, light=True, keep_alive=keep_alive)
        try:
            worker = await ticket.wait()
            return worker.loaded or Loaded(tasks=())
        finally:
            ticket.close()

    async def unload(self, name: str) -> None:
        """Unload a model after its running requests; its failures are forgotten, so it may be tried again at once.

        Raises:
            Conflict: It is busy for too long.
        """
        request = next(self._requests)
        future = self._loop.unloads[request] = asyncio.get_running_loop().create_future()
        self._loop.tell(state.Unload(name=name, request=request, deadline=self._loop.now() + _UNLOAD))
        try:
            await future
        finally:
            self._loop.unloads.pop(request, None)

    def snapshot(self) -> Snapshot:
        """Memory and models as they are now."""
        return self._loop.roster.snapshot(self._loop.fleet, self._loop.now())

    async def _calm(self, ticket: Ticket) -> None:
        """Wait until the worker reads no prompt for others, but not for ever."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_CALM):
                while (other := self._loop.reading(ticket.worker)) is not None:
                    await other.begun.wait()

    async def _ask(self, model: Model, *, light: bool, keep_alive: float | None, background: bool = False) -> Ticket:
        loop = self._loop
        key = loop.roster.key(model)
        seat = loop.fleet.seats.get(key)
        if seat is None or isinstance(seat.state, state.Cold | state.Stopping):
            sizing, budget = await self._budget.sizing(key, model, loop.roster.pids())
            self._set_budget(budget)
            loop.roster.note(key, model, sizing)
            need = sizing.memory.total
        else:
            need = seat.estimate
        ticket = Ticket(next(self._requests), key, model.name, loop.ended, light=light, background=background)
        loop.tickets[ticket.request] = ticket
        stay = next(value for value in (keep_alive, model.keep_alive, self._settings.keep_alive) if value is not None)
        loop.tell(
            state.Asked(
                key=key,
                name=model.name,
                request=ticket.request,
                need=need,
                keep_alive=stay,
                light=light,
                background=background,
            )
        )
        return ticket

    async def _reread(self) -> None:
        while True:
            await asyncio.sleep(_REREAD)
            if pids := self._loop.roster.pids():
                self._set_budget(await self._budget.read(pids))

    def _set_budget(self, budget: int) -> None:
        known = self._loop.fleet.budget
        if abs(budget - known) > _NOTEWORTHY * known:
            self._loop.tell(state.MemoryChanged(budget=budget))

    async def _until(self, reached: Callable[[], bool], seconds: float | None) -> None:
        changed = self._loop.changed
        try:
            async with asyncio.timeout(seconds):
                while not reached():
                    changed.clear()
                    await changed.wait()
        except TimeoutError:
            return
