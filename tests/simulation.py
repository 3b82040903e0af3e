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
    busy: dict[int, "Request"] = field(default_factory=dict)
    """Granted requests that are not over."""
    used: float = float("-inf")
    """When the last request ended that was not in the background."""
    eased: float = float("-inf")
    """When the background last began something while others used the process."""


@dataclass
class Request:
    """What a client asked for."""

    key: Key
    since: float
    light: bool
    background: bool


class World:
    """Plays a history; `tell` hands an event to the plan and checks what comes back."""

    def __init__(self, seed: int, kinds: Sequence[Kind], budget: int, limits: Limits) -> None:
        self.random = random.Random(seed)
        self.kinds = {kind.key: kind for kind in kinds}
        self.fleet = Fleet(limits=limits, budget=budget)
        self.now = 0.0
        self.events = 0
        self.alive: dict[int, Process] = {}
        self.waiting: dict[int, Request] = {}
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

    def ask(self, key: Key, *, light: bool = False, background: bool = False, need: int | None = None) -> int:
        kind, request = self.kinds[key], next(self._numbers)
        self.waiting[request] = Request(key, self.now, light, background)
        self.tell(
            Asked(
                key=key,
                name=kind.name,
                request=request,
                need=kind.need if need is None else need,
                keep_alive=kind.keep_alive,
                light=light,
                background=background,
            )
        )
        return request

    def cancel(self, request: int) -> None:
        if request in self.waiting:
            key = self.waiting.pop(request).key
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
        assert any(each.key == start.key for each in self.waiting.values()), "a start that nobody waits for"
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
            assert all(each.key != stop.key for each in self.waiting.values()), "a start that is awaited was evicted"
        if stop.why == "evicted" and all(each.background for each in self.waiting.values()):
            superseded = self.fleet.seats[stop.key].superseded
            quiet = self.now >= process.used + self.fleet.limits.quiet
            assert superseded or quiet, (
                f"{stop.key} was evicted for the background {self.now - process.used} s after use"
            )

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
        asked = self._answer(grant.request, "granted")
        assert asked.key == grant.key == process.kind.key, "granted another model"
        process.busy[grant.request] = asked
        self._check_turn(process, grant.request, asked)
        if not asked.background:
            self.waits.append(self.now - asked.since)
        due = self.now + self.random.uniform(*process.kind.service)
        crashes = self.random.random() < process.kind.crash
        self.at(due, lambda: self.die(process) if crashes else self._finish(process, grant.request))
        self.on_answer(grant.request, "granted")

    def _check_turn(self, process: Process, number: int, asked: Request) -> None:
        slots = process.kind.slots
        heavy = [each for each in process.busy.values() if not each.light]
        others = {request: each for request, each in self.waiting.items() if each.key == asked.key}
        assert len(heavy) <= slots, f"{len(heavy)} requests in {slots} slots"
        if asked.background:
            live = [request for request, each in others.items() if not each.background]
            assert not live, f"the background request {number} came before {live}"
            assert asked.light or len(heavy) <= max(slots - 1, 1), f"the background request {number} left no slot free"
            used = self.now < process.used + self.fleet.limits.quiet
            used = used or any(not each.background for each in process.busy.values())
            self._check_pace(process, asked)
            share = [each for each in heavy if each.background]
            assert asked.light or not used or len(share) <= 1, f"the background has {len(share)} slots of a used model"
        if not asked.light:
            older = [r for r, each in others.items() if not each.light and each.background == asked.background]
            assert all(request > number for request in older), f"request {number} overtook one of {older}"

    def _check_pace(self, process: Process, asked: Request) -> None:
        limits = self.fleet.limits
        among = any(not each.background for each in process.busy.values()) or self.now < process.used + limits.lull
        if among and not asked.light:
            assert self.now >= process.eased + limits.spacing, "the background began too often beside others"
            process.eased = self.now

    def _refuse(self, refuse: Refuse) -> None:
        if refuse.request in self.unloads:
            assert refuse.code == "conflict"
            assert refuse.request not in self.confirmed
            self.confirmed.add(refuse.request)
            return
        self._answer(refuse.request, refuse.code)
        self.on_answer(refuse.request, refuse.code)

    def _answer(self, request: int, answer: str) -> Request:
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
            if not process.busy.pop(request).background:
                process.used = self.now
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
