"""Which models run: the pure decision `(fleet, happened, now) -> (fleet, actions)`.

What happened is first written into the seats (`_hear_*`). Then the fleet is settled, always in this order; the
numbers stand at the code too:

 1. A model whose rest is over may be tried again.
 2. Who waited too long is refused (overloaded); an unload that took too long is refused (conflict).
 3. Who waits is refused when the server closes, when the model rests, or when it could never fit.
 4. Models without a process that are waited for, oldest request first:
    4a. in back-off: later;
    4b. it fits into what is free: start;
    4c. it fits after others go, all of them idle: stop those, start when their memory is back;
    4d. it fits after busy ones finish: those get nothing younger than this request, and so become idle;
    4e. it does not fit yet (others are loading, stopping or just loaded): wait.
    Memory that 4c and 4d speak for is not given to younger requests, in 4d only after `patience` seconds.
    Background requests come behind all others. For them a model goes only when nobody else has used it for
    `quiet` seconds, and nothing starts for them while another model waits for memory.
 5. Ready workers are granted in order of arrival: `slots` at once, light requests besides; who overflows the queue
    is refused (overloaded). Background requests are granted when no other waits, leave the last of several slots
    free, have one slot only where others were within `quiet` seconds, and never wait too long.
 6. Idle workers end: server closing, unloaded, superseded, keep-alive over; under memory pressure the idle ones that
    are worth least, until what is promised fits.
 7. Wake at the next time at which one of these could change.

It never: promises more memory than there is to a process it starts, stops a busy worker (but at the end of the
server), has two processes for one version of a model, answers a request twice.
"""

from typing import assert_never

from localai.core.errors import ModelLoadFailed, ShuttingDown, from_code
from localai.fleet import policy
from localai.fleet.action import Action
from localai.fleet.draft import Draft
from localai.fleet.settle import settle
from localai.fleet.state import (
    Asked,
    Closing,
    Cold,
    Died,
    Dying,
    Fleet,
    Gone,
    Happened,
    Leaver,
    Loaded,
    Lost,
    MemoryChanged,
    Ready,
    Resting,
    Seat,
    Starting,
    Stopped,
    Stopping,
    Tick,
    Took,
    Trouble,
    Unload,
    Waiting,
    change,
)


def plan(fleet: Fleet, happened: Happened, now: float) -> tuple[Fleet, tuple[Action, ...]]:
    """Take in what happened at the time `now` (seconds, monotonic) and decide what is to be done."""
    draft = Draft(fleet, now)
    _hear(draft, happened)
    settle(draft)
    return draft.result()


def _hear(draft: Draft, happened: Happened) -> None:  # noqa: C901, PLR0912 - one branch for each case of the union
    match happened:
        case Asked():
            _hear_asked(draft, happened)
        case Gone():
            _hear_gone(draft, happened)
        case Loaded():
            _hear_loaded(draft, happened)
        case Took():
            _hear_took(draft, happened)
        case Lost():
            _hear_lost(draft, happened)
        case Died():
            _hear_died(draft, happened)
        case Stopped():
            _hear_stopped(draft, happened)
        case Unload():
            _hear_unload(draft, happened)
        case MemoryChanged(budget=budget):
            draft.budget = budget
        case Closing(now=at_once):
            draft.closing = True
            for key in draft.seats if at_once else ():
                draft.stop(key, "closing")
        case Tick():
            pass
        case _:
            assert_never(happened)


def _hear_asked(draft: Draft, asked: Asked) -> None:
    """Queue the request; a version nobody asked for any more is superseded by the one asked for now."""
    if draft.closing:
        draft.refuse(asked.key, asked.request, ShuttingDown())
        return
    seat = draft.seats.get(asked.key)
    if seat is None or seat.superseded:
        for key, other in draft.seats.items():
            if other.name == asked.name:
                draft.seats[key] = change(other, superseded=True)
    if seat is None:
        seat = Seat(name=asked.name, estimate=asked.need, need=asked.need, keep_alive=asked.keep_alive)
    if asked.need != seat.estimate:
        seat = change(seat, estimate=asked.need, need=asked.need)
    waiting = Waiting(request=asked.request, since=draft.now, light=asked.light, background=asked.background)
    live = sum(not each.background for each in seat.waiting) if not asked.background else len(seat.waiting)
    queue = (*seat.waiting[:live], waiting, *seat.waiting[live:])
    draft.seats[asked.key] = change(seat, keep_alive=asked.keep_alive, waiting=queue, superseded=False)


def _hear_gone(draft: Draft, gone: Gone) -> None:
    seat = draft.seats.get(gone.key)
    if seat is None:
        return
    state = seat.state
    if isinstance(state, Ready) and (gone.request in state.running or gone.request in state.light):
        left = {gone.request}
        state = change(
            state,
            running=state.running - left,
            light=state.light - left,
            background=state.background - left,
            idle_since=draft.now,
            used=state.used if left <= state.background else draft.now,
        )
        draft.seats[gone.key] = change(seat, state=state)
    elif any(waiting.request == gone.request for waiting in seat.waiting):
        kept = tuple(waiting for waiting in seat.waiting if waiting.request != gone.request)
        draft.seats[gone.key] = change(seat, waiting=kept)


def _hear_loaded(draft: Draft, loaded: Loaded) -> None:
    seat = draft.seats.get(loaded.key)
    if seat is None or not isinstance(seat.state, Starting) or seat.state.spawn != loaded.spawn:
        return
    need = max(seat.state.need, loaded.memory)
    state = Ready(
        spawn=loaded.spawn,
        since=draft.now,
        need=need,
        slots=max(loaded.slots, 1),
        took=draft.now - seat.state.since,
        idle_since=draft.now,
    )
    trouble = change(seat.trouble, failures=0, not_before=0.0)
    draft.seats[loaded.key] = change(seat, state=state, need=max(seat.need, need), trouble=trouble)


def _hear_took(draft: Draft, took: Took) -> None:
    seat = draft.seats.get(took.key)
    if seat is None or not isinstance(seat.state, Ready) or seat.state.spawn != took.spawn:
        return
    if took.memory > seat.state.need:
        state = change(seat.state, need=took.memory)
        draft.seats[took.key] = change(seat, state=state, need=max(seat.need, took.memory))


def _hear_lost(draft: Draft, lost: Lost) -> None:
    seat = draft.seats.get(lost.key)
    if seat is not None and isinstance(seat.state, Starting | Ready) and seat.state.spawn == lost.spawn:
        state = Dying(spawn=lost.spawn, need=seat.state.need, was=seat.state)
        draft.seats[lost.key] = change(seat, state=state)


def _hear_died(draft: Draft, died: Died) -> None:
    """A death that will not be mended by another start is told to all who wait, with its own error."""
    seat = draft.seats.get(died.key)
    if seat is None or isinstance(seat.state, Cold | Resting) or seat.state.spawn != died.spawn:
        return
    if isinstance(seat.state, Stopping):
        _hear_stopped(draft, Stopped(key=died.key, spawn=died.spawn))
        return
    if isinstance(seat.state, Dying):
        seat = change(seat, state=seat.state.was)
    draft.seats[died.key] = rested = policy.after_death(seat, died, draft.limits, draft.now)
    if isinstance(rested.state, Resting):
        code = rested.state.code if died.final or isinstance(seat.state, Ready) else ModelLoadFailed.code
        after = None if died.final else rested.state.until - draft.now
        draft.refuse_all(died.key, from_code(code, rested.state.message, retry_after=after))
    for leaver in seat.leavers:
        draft.confirm(leaver.request)


def _hear_stopped(draft: Draft, stopped: Stopped) -> None:
    seat = draft.seats.get(stopped.key)
    if seat is None or not isinstance(seat.state, Stopping | Dying) or seat.state.spawn != stopped.spawn:
        return
    draft.seats[stopped.key] = policy.after_stop(seat)
    for leaver in seat.leavers:
        draft.confirm(leaver.request)


def _hear_unload(draft: Draft, unload: Unload) -> None:
    """Every version goes, after what was asked before; one without a process has its troubles forgotten."""
    for key, seat in draft.seats.items():
        if seat.name != unload.name:
            continue
        if isinstance(seat.state, Cold | Resting):
            draft.seats[key] = change(seat, state=Cold(), trouble=Trouble())
        else:
            leaver = Leaver(request=unload.request, deadline=unload.deadline)
            first = seat.leaving_from if seat.leavers else unload.request
            draft.seats[key] = change(seat, leavers=(*seat.leavers, leaver), leaving_from=first)
    draft.confirm(unload.request)
