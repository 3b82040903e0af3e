"""A fleet while one decision is made: its seats as they become, and the actions so far."""

from localai.core.errors import LocalAIError
from localai.fleet.action import Action, Confirm, Refuse, Start, Stop
from localai.fleet.state import (
    Fleet,
    Key,
    Ready,
    Starting,
    Stopping,
    change,
    promised,
)


class Draft:
    """Mutable, and never seen outside one call of `plan`."""

    def __init__(self, fleet: Fleet, now: float) -> None:
        self.now = now
        self.limits = fleet.limits
        self.budget = fleet.budget
        self.closing = fleet.closing
        self.spawns = fleet.spawns
        self.seats = dict(fleet.seats)
        self.actions: list[Action] = []

    def result(self) -> tuple[Fleet, tuple[Action, ...]]:
        """The fleet as it is now, and what is to be done."""
        fleet = Fleet(
            limits=self.limits, budget=self.budget, seats=self.seats, spawns=self.spawns, closing=self.closing
        )
        return fleet, tuple(self.actions)

    def free(self) -> int:
        """Bytes that are promised to nobody; less than 0 under memory pressure."""
        return self.budget - sum(promised(seat) for seat in self.seats.values())

    def start(self, key: Key) -> None:
        """Begin a process for a cold seat, and write it into the ledger of starts."""
        seat = self.seats[key]
        self.spawns += 1
        state = Starting(spawn=self.spawns, since=self.now, need=seat.need)
        spawns = (*seat.trouble.spawns, self.now)[-self.limits.burst :]
        self.seats[key] = change(seat, state=state, trouble=change(seat.trouble, spawns=spawns))
        self.actions.append(Start(key=key, spawn=self.spawns))

    def stop(self, key: Key, why: str) -> None:
        """End the process of a seat that has one."""
        seat = self.seats[key]
        state = seat.state
        if isinstance(state, Starting | Ready):
            ready = isinstance(state, Ready)
            stopping = Stopping(spawn=state.spawn, since=self.now, need=state.need, was_ready=ready)
            self.seats[key] = change(seat, state=stopping)
            self.actions.append(Stop(key=key, spawn=state.spawn, why=why))

    def refuse(self, key: Key, request: int, error: LocalAIError) -> None:
        """Answer a request with an error."""
        self.actions.append(
            Refuse(key=key, request=request, code=error.code, message=error.message, retry_after=error.retry_after)
        )

    def refuse_all(self, key: Key, error: LocalAIError) -> None:
        """Answer everybody who waits for this model with an error."""
        seat = self.seats[key]
        for waiting in seat.waiting:
            self.refuse(key, waiting.request, error)
        self.seats[key] = change(seat, waiting=())

    def confirm(self, request: int) -> None:
        """Tell who asked for an unload that it is done, unless another version is still on its way out."""
        if not any(leaver.request == request for seat in self.seats.values() for leaver in seat.leavers):
            self.actions.append(Confirm(request=request))
