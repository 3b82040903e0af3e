"""The one owner of the fleet's state: hears what happens, lets the plan decide, and carries the decision out."""

import asyncio
from collections import deque
from pathlib import Path
from typing import assert_never

from localai.core.errors import EngineCrashed, EngineStalled, from_code
from localai.core.model import Loaded
from localai.fleet import action as do
from localai.fleet import process, state
from localai.fleet.plan import plan
from localai.fleet.roster import Entry, Roster
from localai.fleet.state import Key
from localai.fleet.ticket import Ticket
from localai.fleet.worker import Ended, Patience, Worker
from localai.observe.logs import get
from localai.observe.metrics import Metrics

log = get("fleet")

_LOGGED = 2000
"""Characters of what a dead process printed that go into the log."""
_SHOWN = 300
"""Characters of its last line that the snapshot shows to the operator."""


class Loop:
    """Used on the event loop only. Nothing here waits."""

    def __init__(
        self, *, limits: state.Limits, patience: Patience, run: Path, command: process.Command, metrics: Metrics
    ) -> None:
        self.fleet = state.Fleet(limits=limits)
        self.roster = Roster()
        self.tickets: dict[int, Ticket] = {}
        self.unloads: dict[int, asyncio.Future[None]] = {}
        self.changed = asyncio.Event()
        """Set whenever something has happened."""
        self._patience = patience
        self._run = run
        self._command = command
        self._metrics = metrics
        self._inbox: deque[state.Happened] = deque()
        self._telling = False
        self._alarm: asyncio.TimerHandle | None = None

    def now(self) -> float:
        """The clock of the plan."""
        return asyncio.get_running_loop().time()

    def close(self) -> None:
        """No alarm rings any more."""
        if self._alarm is not None:
            self._alarm.cancel()

    def tell(self, happened: state.Happened) -> None:
        """Decide and do. What an action makes happen is decided after it, in order."""
        self._inbox.append(happened)
        if self._telling:
            return
        self._telling = True
        try:
            while self._inbox:
                event = self._inbox.popleft()
                self.fleet, actions = plan(self.fleet, event, self.now())
                touched = {action.key for action in actions if not isinstance(action, do.Confirm | do.Wake)}
                for action in actions:
                    self._do(action)
                self._follow(touched | ({event.key} if isinstance(event, state.Asked | state.Gone) else set()))
        finally:
            self._telling = False
        self.roster.forget(self.fleet.seats)
        self.changed.set()

    def ended(self, ticket: Ticket) -> None:
        """A request is over."""
        self.tickets.pop(ticket.request, None)
        self.tell(state.Gone(key=ticket.key, request=ticket.request))

    def reading(self, worker: Worker | None) -> Ticket | None:
        """A request that is not in the background, and whose prompt this worker reads."""
        for ticket in self.tickets.values():
            if ticket.worker is worker and not (ticket.light or ticket.background or ticket.begun.is_set()):
                return ticket
        return None

    def _do(self, action: do.Action) -> None:
        match action:
            case do.Start():
                self._start(action)
            case do.Stop():
                self._stop(action)
            case do.Grant():
                self._grant(action)
            case do.Refuse():
                self._refuse(action)
            case do.Confirm():
                future = self.unloads.pop(action.request, None)
                if future is not None and not future.done():
                    future.set_result(None)
            case do.Wake():
                self._set_alarm(action.at)
            case _:
                assert_never(action)

    def _start(self, start: do.Start) -> None:
        entry = self.roster.entries[start.key]
        key, spawn = start.key, start.spawn
        try:
            worker = Worker(
                entry.model,
                entry.sizing,
                run=self._run,
                command=self._command,
                patience=self._patience,
                on_loaded=lambda worker, loaded: self._loaded(key, spawn, worker, loaded),
                on_memory=lambda _, memory: self._grown(key, spawn, memory),
                on_lost=lambda _: self.tell(state.Lost(key=key, spawn=spawn)),
                on_ended=lambda worker, ended: self._ended(key, spawn, worker, ended),
            )
        except OSError as error:
            entry.last_error = f"no process could be started ({type(error).__name__})"
            log.failure("start failed", error, model=entry.model.name)
            message = "The system could not start another process."
            self.tell(state.Died(key=key, spawn=spawn, code="model_load_failed", message=message))
            return
        entry.worker = worker
        log.info(
            "model loading",
            model=entry.model.name,
            pid=worker.pid,
            estimated=entry.sizing.memory.total,
            context=entry.sizing.context,
            slots=entry.sizing.slots,
        )

    def _stop(self, stop: do.Stop) -> None:
        entry = self.roster.entries[stop.key]
        if stop.why in ("evicted", "pressure"):
            self._metrics.evicted(entry.model.name)
        log.info("model unloading", model=entry.model.name, why=stop.why)
        if entry.worker is not None:
            entry.worker.stop()

    def _grant(self, grant: do.Grant) -> None:
        ticket = self.tickets.get(grant.request)
        worker = self.roster.entries[grant.key].worker
        if ticket is None or worker is None:
            # It left, or the worker ended, in this very turn: the plan hears of the latter by itself.
            self.tell(state.Gone(key=grant.key, request=grant.request))
            return
        self._metrics.waited(ticket.name, self.now() - ticket.since)
        ticket.grant(worker)
        if not (ticket.light or ticket.background):
            for other in [each for each in self.tickets.values() if each.background and each.worker is worker]:
                other.give_way()

    def _refuse(self, refuse: do.Refuse) -> None:
        error = from_code(refuse.code, refuse.message, retry_after=refuse.retry_after)
        future = self.unloads.pop(refuse.request, None)
        if future is not None and not future.done():
            future.set_exception(error)
        ticket = self.tickets.pop(refuse.request, None)
        if ticket is not None:
            self._metrics.refused(ticket.name, refuse.code)
            log.info("request refused", model=ticket.name, code=refuse.code, waited=round(self.now() - ticket.since, 3))
            ticket.refuse(error)

    def _set_alarm(self, time: float) -> None:
        if self._alarm is not None:
            if self._alarm.when() == time and not self._alarm.cancelled():
                return
            self._alarm.cancel()
        self._alarm = asyncio.get_running_loop().call_at(time, self._ring)

    def _ring(self) -> None:
        self._alarm = None
        self.tell(state.Tick())

    def _follow(self, touched: set[Key]) -> None:
        """Tell who waits what for, and the metrics how many."""
        for key in touched:
            seat = self.fleet.seats.get(key)
            entry = self.roster.entries.get(key)
            if entry is not None:
                self._metrics.queue(entry.model.name, len(seat.waiting) if seat else 0)
            if seat is not None and isinstance(seat.state, state.Starting):
                for waiting in seat.waiting:
                    if waiting.request in self.tickets:
                        self.tickets[waiting.request].enter("loading")

    def _loaded(self, key: Key, spawn: int, worker: Worker, loaded: Loaded) -> None:
        entry = self.roster.entries[key]
        seconds = self.now() - worker.began
        entry.ready()
        self._metrics.load(entry.model.name, seconds, "ok")
        self._metrics.loaded(entry.model.name, worker.memory)
        log.info(
            "model loaded",
            model=entry.model.name,
            pid=worker.pid,
            seconds=round(seconds, 3),
            memory=worker.memory,
            estimated=entry.sizing.memory.total,
        )
        self.tell(state.Loaded(key=key, spawn=spawn, memory=worker.memory, slots=loaded.slots))

    def _grown(self, key: Key, spawn: int, memory: int) -> None:
        seat = self.fleet.seats.get(key)
        if seat is not None and isinstance(seat.state, state.Ready) and memory > seat.state.need:
            self._metrics.loaded(seat.name, memory)
            self.tell(state.Took(key=key, spawn=spawn, memory=memory))

    def _ended(self, key: Key, spawn: int, worker: Worker, ended: Ended) -> None:
        entry = self.roster.entries[key]
        entry.worker = None
        self._metrics.loaded(entry.model.name, 0)
        if worker.stopping:
            log.info("model unloaded", model=entry.model.name, pid=worker.pid)
            self.tell(state.Stopped(key=key, spawn=spawn))
            return
        self._note_failure(entry, worker, ended)
        self.tell(state.Died(key=key, spawn=spawn, code=ended.code, message=ended.message, final=ended.final))

    def _note_failure(self, entry: Entry, worker: Worker, ended: Ended) -> None:
        tail = ended.exit.tail.decode(errors="replace").strip()
        if ended.code in (EngineCrashed.code, EngineStalled.code):
            entry.crashes += 1
            entry.last_error = f"{ended.exit.cause}: {tail.rsplit(chr(10), 1)[-1][:_SHOWN]}".removesuffix(": ")
            self._metrics.crashed(entry.model.name, ended.exit.cause)
        else:
            entry.last_error = ended.message
        if worker.loaded is None:
            self._metrics.load(entry.model.name, self.now() - worker.began, ended.code)
        log.warning(
            "engine process ended",
            model=entry.model.name,
            pid=worker.pid,
            code=ended.code,
            cause=ended.exit.cause,
            printed=tail[-_LOGGED:],
            left=ended.exit.left,
        )
