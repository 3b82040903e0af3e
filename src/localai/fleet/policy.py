"""The small decisions of the plan, each a pure function with a name: who may go, who must wait, what a death means."""

import sys
from collections.abc import Iterable

from localai.fleet.state import (
    Cold,
    Died,
    Dying,
    Fleet,
    Key,
    Limits,
    Ready,
    Resting,
    Seat,
    Starting,
    Stopping,
    Trouble,
    Waiting,
    change,
    promised,
)


def room(fleet: Fleet, *, head: Waiting, lack: int, spared: Iterable[Key], now: float) -> tuple[Key, ...] | None:
    """Choose whose memory request `head` is to have, when `lack` bytes are missing.

    Idle models go first, those that were idle longest for what a reload costs in front; then busy ones, which have
    to finish first, the longest loaded in front. A model just loaded and the `spared` are not touched; for a head in
    the background only those are that nobody else uses.

    Returns:
        The fewest of them in that order, or None when all of them together are not enough.
    """
    skip = set(spared)
    seats = [(key, seat) for key, seat in fleet.seats.items() if key not in skip and _movable(seat, fleet.limits, now)]
    if head.background:
        seats = [(key, seat) for key, seat in seats if _unused(seat, fleet.limits, now)]
    rank = head.rank
    idle = sorted(((key, seat) for key, seat in seats if idle_for(seat, rank)), key=lambda pair: -_worth(pair[1], now))
    busy = sorted(((key, seat) for key, seat in seats if not idle_for(seat, rank)), key=lambda pair: _age(pair[1]))
    chosen: list[tuple[Key, int]] = []
    gain = 0
    for key, seat in idle + busy:
        if gain >= lack:
            break
        chosen.append((key, promised(seat)))
        gain += promised(seat)
    if gain < lack:
        return None
    for pair in tuple(chosen):
        if gain - pair[1] >= lack:
            chosen.remove(pair)
            gain -= pair[1]
    return tuple(key for key, _ in chosen)


def idle_for(seat: Seat, head: int) -> bool:
    """Whether nothing uses this process, and nothing that has its turn before the rank `head` waits for it."""
    if seat.waiting and seat.waiting[0].rank < head:
        return False
    return not (isinstance(seat.state, Ready) and seat.state.busy)


def safe_until(state: Ready, limits: Limits) -> float:
    """When a model just loaded may be evicted: it stays at least as long as loading took, but not for ever."""
    return state.since + min(state.took, limits.residency)


def expires(seat: Seat) -> float | None:
    """When an idle worker's time is over; None while it is busy, awaited or kept for ever."""
    state = seat.state
    if not isinstance(state, Ready) or state.busy or seat.waiting or seat.keep_alive < 0:
        return None
    return state.idle_since + seat.keep_alive


def spare(seats: dict[Key, Seat], lack: int, now: float) -> tuple[Key, ...]:
    """The processes to give up under memory pressure: idle ones nobody waits for, until `lack` bytes come back."""
    idle = [
        (key, seat)
        for key, seat in seats.items()
        if isinstance(seat.state, Ready | Starting) and idle_for(seat, sys.maxsize)
    ]
    chosen: list[Key] = []
    for key, seat in sorted(idle, key=lambda pair: -_worth(pair[1], now)):
        if lack > 0:
            chosen.append(key)
            lack -= promised(seat)
    return tuple(chosen)


def after_death(seat: Seat, died: Died, limits: Limits, now: float) -> Seat:
    """The seat after its process ended unasked: to be started again (after a back-off), or resting.

    It rests when trying again cannot help, when `attempts` starts in a row failed, or when `burst` processes died
    without a long life between them; then at least `rest` seconds lie between two starts.
    """
    trouble = seat.trouble
    if isinstance(seat.state, Ready):
        lived = now - seat.state.since >= limits.probation
        trouble = Trouble() if lived else change(trouble, failures=0)
    else:
        trouble = change(trouble, failures=trouble.failures + 1)
    seat = change(seat, trouble=trouble, state=Cold(), leavers=(), leaving_from=0)
    if died.final:
        return change(seat, state=Resting(until=now + limits.rest, code=died.code, message=died.message))
    if trouble.failures >= limits.attempts:
        message = f"The model `{seat.name}` failed to start {trouble.failures} times in a row and rests: {died.message}"
        return change(seat, state=Resting(until=now + limits.rest, code="model_unavailable", message=message))
    if len(trouble.spawns) >= limits.burst:
        message = f"The model `{seat.name}` keeps dying and rests for a while: {died.message}"
        until = max(now, trouble.spawns[-1] + limits.rest)
        return change(seat, state=Resting(until=until, code="model_unavailable", message=message))
    delay = limits.backoff * 2 ** (trouble.failures - 1) if trouble.failures else 0.0
    return change(seat, trouble=change(trouble, not_before=now + delay))


def after_stop(seat: Seat) -> Seat:
    """The seat after its process ended as told: a clean life forgets troubles, a start cut short does not count."""
    clean = isinstance(seat.state, Stopping) and seat.state.was_ready
    trouble = Trouble() if clean else change(seat.trouble, spawns=seat.trouble.spawns[:-1])
    return change(seat, state=Cold(), trouble=trouble, leavers=(), leaving_from=0)


def forgettable(seat: Seat, limits: Limits, now: float) -> bool:
    """Whether nothing is known of this seat that a new one would not know."""
    if not isinstance(seat.state, Cold) or seat.waiting or seat.leavers or seat.need > seat.estimate:
        return False
    spawns = seat.trouble.spawns
    return not spawns or now - spawns[-1] > 10 * limits.rest


def _movable(seat: Seat, limits: Limits, now: float) -> bool:
    match seat.state:
        case Ready():
            return seat.superseded or now >= safe_until(seat.state, limits)
        case Starting():
            return not seat.waiting
        case Cold() | Dying() | Stopping() | Resting():
            return False


def is_crowded(slots: int, running: int, background: int, *, alone: bool) -> bool:
    """Whether the background must take no further slot.

    It leaves the last of several free, and has one where others are, or were a moment ago.

    Args:
        slots: All there are.
        running: Those in use.
        background: Those of them that the background has.
        alone: Whether nobody else has used the model lately.
    """
    return running >= max(slots - 1, 1) or (background >= 1 and not alone)


def _unused(seat: Seat, limits: Limits, now: float) -> bool:
    """Whether a model works for the background alone, and has done so for long enough."""
    if any(not waiting.background for waiting in seat.waiting):
        return False
    if not isinstance(seat.state, Ready) or seat.superseded:
        return True
    return not seat.state.live and now >= seat.state.used + limits.quiet


def _worth(seat: Seat, now: float) -> float:
    """Idle seconds for each second that loading again costs; a start nobody waits for is worth giving up first."""
    if not isinstance(seat.state, Ready) or seat.superseded:
        return float("inf")
    return (now - seat.state.idle_since) / max(seat.state.took, 0.1)


def _age(seat: Seat) -> float:
    return seat.state.since if isinstance(seat.state, Ready) else 0.0
