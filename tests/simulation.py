"""A world of made-up clients and workers around the plan, on a clock of its own, that checks every decision.

Everything random comes from one seed, so a history that breaks a rule can be played again.
"""

import heapq
import itertools
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from localai.fleet.action import Confirm, Grant, Refuse, Start, Stop, Wake
from localai.fleet.plan import plan
from localai.fleet.state import (
    Asked,
    Closing,
    Died,
    Fleet,
    Gone,
    Happened,
    Key,
    Limits,
    Loaded,
    Lost,
    Ready,
    Stopped,
    Tick,
    Took,
    Unload,
    promised,
)

GIB = 2**30


@dataclass
class Kind:
    """How the workers of one version of a model behave."""

    key: Key
    name: str
    need: int
    slots: int = 2
    keep_alive: float = 20.0
    load: tuple[float, float] = (0.1, 2.0)
    service: tuple[float, float] = (0.01, 2.0)
    truth: float = 1.0
    """What the process really takes, as a share of the estimate."""
    start_failure: float = 0.0
    crash: float = 0.0
    final: bool = False


@dataclass
class Process:
    """A worker as the world sees it."""

    kind: Kind
    spawn: int
    born: float
    ready: bool = False
    stopping: bool = False
    lost: bool = False
    busy: dict[int, bool] = field(default_factory=dict)
    """Granted requests that are not over; the value tells light ones."""


class World:
    """Plays a history; `tell` hands an event to the plan and checks what comes back."""

    def __init__(self, seed: int, kinds: Sequence[Kind], budget: int, limits: Limits) -> None:
        self.random = random.Random(seed)
        self.kinds = {kind.key: kind for kind in kinds}
        self.fleet = Fleet(limits=limits, budget=budget)
        self.now = 0.0
        self.events = 0
        self.alive: dict[int, Process] = {}
        self.waiting: dict[int, tuple[Key, float, bool]] = {}
        self.answered: dict[int, str] = {}
        self.waits: list[float] = []
        self.starts: dict[Key, list[float]] = {}
        self.stops: list[Stop] = []
        self.confirmed: set[int] = set()
        self.unloads: set[int] = set()
        self.failed: dict[Key, tuple[int, float]] = {}
        self.cleared: dict[Key, float] = {}
        self.on_answer: Callable[[int, str], None] = lambda _request, _answer: None
        self._numbers = itertools.count(1)
        self._order = itertools.count()
        self._agenda: list[tuple[float, int, Callable[[], None]]] = []
        self._alarm = 0.0

    # the clock

    def at(self, time: float, what: Callable[[], None]) -> None:
        heapq.heappush(self._agenda, (max(time, self.now), next(self._order), what))

    def play(self, until: float) -> None:
        """Let everything happen that is due up to the time `until`."""
        while self._agenda and self._agenda[0][0] <= until:
            self.now, _, what = heapq.heappop(self._agenda)
            what()
        self.now = until

    # what clients do

    def ask(self, key: Key, *, light: bool = False, need: int | None = None) -> int:
        kind, request = self.kinds[key], next(self._numbers)
        self.waiting[request] = (key, self.now, light)
        self.tell(
            Asked(
                key=key,
                name=kind.name,
                request=request,
                need=kind.need if need is None else need,
                keep_alive=kind.keep_alive,
                light=light,
            )
        )
        return request

    def cancel(self, request: int) -> None:
        if request in self.waiting:
            key, _, _ = self.waiting.pop(request)
            self.answered[request] = "cancelled"
            self.tell(Gone(key=key, request=request))

    def unload(self, name: str, patience: float = 5.0) -> int:
        request = next(self._numbers)
        self.unloads.add(request)
        for kind in self.kinds.values():
            if kind.name == name:
                self.cleared[kind.key] = self.now
        self.tell(Unload(name=name, request=request, deadline=self.now + patience))
        return request

    # the plan and the judge

    def tell(self, happened: Happened) -> None:
        self.events += 1
        before = self.fleet
        self.fleet, actions = plan(before, happened, self.now)
        forced = isinstance(happened, Closing) and happened.now
        for action in actions:
            match action:
                case Start():
                    self._start(action)
                case Stop():
                    self._stop(action, forced=forced)
                case Grant():
                    self._grant(action)
                case Refuse():
                    self._refuse(action)
                case Confirm():
                    assert action.request in self.unloads - self.confirmed, "an unload was confirmed twice"
                    self.confirmed.add(action.request)
                case Wake():
                    self._set_alarm(action.at)
        if any(isinstance(action, Start) for action in actions):
            total = sum(promised(seat) for seat in self.fleet.seats.values())
            assert total <= self.fleet.budget, f"{total} bytes promised of {self.fleet.budget}"
        self._check_idle()

    def _check_idle(self) -> None:
        for key, seat in self.fleet.seats.items():
            state = seat.state
            if isinstance(state, Ready) and not state.busy and not seat.waiting and seat.keep_alive >= 0:
                assert self.now <= state.idle_since + seat.keep_alive + 1e-6, f"{key} outlived its keep-alive"

    def _set_alarm(self, time: float) -> None:
        assert time > self.now, "an alarm in the past would ring for ever"
        self._alarm = time

        def ring() -> None:
            if self._alarm == time:
                self.tell(Tick())

        self.at(time, ring)

    def _start(self, start: Start) -> None:
        kind = self.kinds[start.key]
        assert all(process.kind.key != start.key for process in self.alive.values()), f"{start.key} has two processes"
        assert any(key == start.key for key, _, _ in self.waiting.values()), "a start that nobody waits for"
        limits = self.fleet.limits
        failures, last = self.failed.get(start.key, (0, 0.0))
        if failures and self.cleared.get(start.key, -1.0) < last:
            pause = limits.rest if failures >= limits.attempts else limits.backoff * 2 ** (failures - 1)
            assert self.now >= last + pause - 1e-6, f"{start.key} started {self.now - last} s after failure {failures}"
        self.starts.setdefault(start.key, []).append(self.now)
        process = self.alive[start.spawn] = Process(kind, start.spawn, self.now)
        due = self.now + self.random.uniform(*kind.load)
        fails = self.random.random() < kind.start_failure
        self.at(due, lambda: self.die(process) if fails else self._loaded(process))

    def _stop(self, stop: Stop, *, forced: bool) -> None:
        process = self.alive[stop.spawn]
        assert not process.stopping, "stopped twice"
        assert forced or not process.busy, f"{stop.key} was stopped ({stop.why}) while busy"
        process.stopping = True
        self.stops.append(stop)

        if stop.why == "evicted" and not process.ready:
            assert all(key != stop.key for key, _, _ in self.waiting.values()), "a start that is awaited was evicted"

        def end() -> None:
            if self.alive.pop(stop.spawn, None):
                self.tell(Stopped(key=stop.key, spawn=stop.spawn))

        dies = self.random.random() < 0.2
        self.at(self.now + self.random.uniform(0, 0.5), lambda: self.die(process) if dies else end())

    def _grant(self, grant: Grant) -> None:
        process = self.alive[grant.spawn]
        assert process.ready, "granted a process that cannot answer"
        assert not process.stopping, "granted a process that was told to end"
        assert not process.lost, "granted a process that is dying"
        key, since, light = self._answer(grant.request, "granted")
        assert key == grant.key == process.kind.key, "granted another model"
        process.busy[grant.request] = light
        heavy = [request for request, is_light in process.busy.items() if not is_light]
        assert len(heavy) <= process.kind.slots, f"{len(heavy)} requests in {process.kind.slots} slots"
        if not light:
            older = [
                r for r, (k, _, is_light) in self.waiting.items() if k == key and not is_light and r < grant.request
            ]
            assert not older, f"request {grant.request} overtook {older}"
        self.waits.append(self.now - since)
        due = self.now + self.random.uniform(*process.kind.service)
        crashes = self.random.random() < process.kind.crash
        self.at(due, lambda: self.die(process) if crashes else self._finish(process, grant.request))
        self.on_answer(grant.request, "granted")

    def _refuse(self, refuse: Refuse) -> None:
        if refuse.request in self.unloads:
            assert refuse.code == "conflict"
            assert refuse.request not in self.confirmed
            self.confirmed.add(refuse.request)
            return
        self._answer(refuse.request, refuse.code)
        self.on_answer(refuse.request, refuse.code)

    def _answer(self, request: int, answer: str) -> tuple[Key, float, bool]:
        assert request not in self.answered, f"{request} was answered {self.answered.get(request)} and {answer}"
        self.answered[request] = answer
        return self.waiting.pop(request)

    # what workers do

    def _loaded(self, process: Process) -> None:
        if process.spawn in self.alive and not process.stopping and not process.lost:
            process.ready = True
            kind = process.kind
            self.failed.pop(kind.key, None)
            memory = int(kind.need * kind.truth)
            self.tell(Loaded(key=kind.key, spawn=process.spawn, memory=memory, slots=kind.slots))

    def _finish(self, process: Process, request: int) -> None:
        if process.spawn in self.alive and request in process.busy:
            del process.busy[request]
            self.tell(Gone(key=process.kind.key, request=request))

    def grow(self, process: Process, memory: int) -> None:
        if process.spawn in self.alive:
            self.tell(Took(key=process.kind.key, spawn=process.spawn, memory=memory))

    def die(self, process: Process) -> None:
        if process.lost or process.spawn not in self.alive:
            return
        process.lost = True
        process.busy.clear()
        if self.random.random() < 0.5:
            self.tell(Lost(key=process.kind.key, spawn=process.spawn))
            self.at(self.now + self.random.uniform(0, 0.2), lambda: self._exit(process))
        else:
            self._exit(process)

    def _exit(self, process: Process) -> None:
        if self.alive.pop(process.spawn, None) is None:
            return
        kind = process.kind
        if not process.ready and not process.stopping:
            failures, last = self.failed.get(kind.key, (0, 0.0))
            if self.cleared.get(kind.key, -1.0) >= last:
                failures = 0
            self.failed[kind.key] = (self.fleet.limits.attempts if kind.final else failures + 1, self.now)
        died = Died(key=kind.key, spawn=process.spawn, code="invalid_model", message="It died.", final=kind.final)
        self.tell(died)
