"""Seats of a fleet made by hand, for tests of one decision."""

from localai.fleet.draft import Draft
from localai.fleet.state import Fleet, Key, Limits, Ready, Seat, Starting, State, Stopping, Waiting

NOW = 100.0
"""The time of the decisions."""


def ready(need: int = 1, *, slots: int = 1, running: tuple[int, ...] = (), **fields: object) -> Ready:
    """A worker that has been loaded for long, idle since the beginning unless `running`."""
    given = {"since": 0.0, "took": 1.0, "idle_since": 0.0, "spawn": 1, "running": frozenset(running)}
    return Ready(need=need, slots=slots, **(given | fields))  # type: ignore[arg-type]


def starting(need: int = 1, *, since: float = NOW) -> Starting:
    return Starting(spawn=1, since=since, need=need)


def stopping(need: int = 1) -> Stopping:
    return Stopping(spawn=1, since=NOW, need=need, was_ready=True)


def asks(*requests: int, since: float = NOW, light: bool = False, background: bool = False) -> tuple[Waiting, ...]:
    """Requests that wait since one time."""
    return tuple(Waiting(request=each, since=since, light=light, background=background) for each in requests)


def seat(state: State | None = None, *waiting: Waiting, need: int = 1, **fields: object) -> Seat:
    """A seat of the model `m` that is kept for ever."""
    given = {"name": "m", "estimate": need, "need": need, "keep_alive": -1.0, "waiting": waiting}
    return Seat(**(given | ({} if state is None else {"state": state}) | fields))  # type: ignore[arg-type]


def draft(
    budget: int = 100, *, limits: Limits | None = None, now: float = NOW, closing: bool = False, **seats: Seat
) -> Draft:
    """A decision about seats by their keys."""
    chosen = {Key(key): each for key, each in seats.items()}
    return Draft(Fleet(limits=limits or Limits(), budget=budget, seats=chosen, closing=closing), now)
