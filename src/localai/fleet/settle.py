"""The second half of a decision: given the seats as they are now, who is refused, started, granted and stopped.

The numbers are those of the list in `plan`.
"""

import sys

from localai.core.errors import Conflict, NotEnoughMemory, Overloaded, ShuttingDown, from_code
from localai.fleet import policy
from localai.fleet.action import Grant, Wake
from localai.fleet.draft import Draft
from localai.fleet.state import (
    Cold,
    Dying,
    Fleet,
    Key,
    Ready,
    Resting,
    Seat,
    Starting,
    Stopping,
    Waiting,
    change,
    promised,
)

_MIB = 2**20


def settle(draft: Draft) -> None:
    """Bring the fleet to rest: afterwards nothing is left to do before something happens or time passes."""
    _wake_rested(draft)
    _refuse_late(draft)
    _refuse_hopeless(draft)
    cutoffs = _place(draft)
    _grant(draft, cutoffs)
    _retire(draft)
    _relieve(draft)
    _set_alarm(draft)


def _wake_rested(draft: Draft) -> None:
    for key, seat in tuple(draft.seats.items()):
        # 1. a rest is over
        if isinstance(seat.state, Resting) and draft.now >= seat.state.until:
            draft.seats[key] = change(seat, state=Cold())
        elif policy.forgettable(seat, draft.limits, draft.now):
            del draft.seats[key]


def _refuse_late(draft: Draft) -> None:
    timeout = draft.limits.queue_timeout
    conflicts: set[int] = set()
    for key, seat in tuple(draft.seats.items()):
        # 2. waited too long
        late = [each for each in seat.waiting if not each.background and draft.now >= each.since + timeout]
        for waiting in late:
            message = f"The model `{seat.name}` was busy or had no memory for {timeout:g} seconds; try again later."
            draft.refuse(key, waiting.request, Overloaded(message, retry_after=10))
        if late:
            draft.seats[key] = change(seat, waiting=seat.waiting[len(late) :])
        expired = {leaver.request for leaver in seat.leavers if draft.now >= leaver.deadline}
        if expired and not isinstance(seat.state, Stopping):
            conflicts |= expired
    if conflicts:
        _give_up_unload(draft, conflicts)


def _give_up_unload(draft: Draft, requests: set[int]) -> None:
    told: set[int] = set()
    for key, seat in tuple(draft.seats.items()):
        for leaver in seat.leavers:
            if leaver.request in requests - told:
                message = f"The model `{seat.name}` is still busy with requests; try again later."
                draft.refuse(key, leaver.request, Conflict(message))
                told.add(leaver.request)
        kept = tuple(leaver for leaver in seat.leavers if leaver.request not in requests)
        draft.seats[key] = change(seat, leavers=kept)


def _refuse_hopeless(draft: Draft) -> None:
    for key, seat in tuple(draft.seats.items()):
        state = seat.state
        # 3. no hope
        if not seat.waiting:
            continue
        if draft.closing:
            draft.refuse_all(key, ShuttingDown())
        elif isinstance(state, Resting):
            draft.refuse_all(key, from_code(state.code, state.message, retry_after=state.until - draft.now))
        elif isinstance(state, Cold) and seat.need > draft.budget:
            message = (
                f"The model `{seat.name}` needs {seat.need // _MIB} MiB of memory; there are {draft.budget // _MIB} "
                "MiB for models. Choose a smaller context or a smaller model, or raise `memory`."
            )
            draft.refuse_all(key, NotEnoughMemory(message))


def _place(draft: Draft) -> dict[Key, int]:
    """Find memory for models that are waited for; return up to which request busy models may still be granted."""
    cutoffs: dict[Key, int] = {}
    spoken: set[Key] = set()
    free = draft.free()
    coming = _coming(draft)
    short = False
    cold = [(seat.waiting[0], key, seat) for key, seat in draft.seats.items() if seat.waiting and _cold(seat)]
    # 4. oldest request first
    for head, key, seat in sorted(cold, key=_by_arrival):
        if draft.now < seat.trouble.not_before or (head.background and short):
            continue  # 4a.
        if seat.need <= free:
            draft.start(key)  # 4b.
            free -= seat.need
            continue
        short = short or not head.background
        aged = draft.now >= head.since + draft.limits.patience
        chosen = _choose(draft, head, seat.need - free - coming, spoken)
        if chosen is None:  # 4e.
            if aged:
                break
            continue
        gain = sum(promised(draft.seats[victim]) for victim in chosen)
        busy = [victim for victim in chosen if not policy.idle_for(draft.seats[victim], head.rank)]
        if not busy:
            for victim in chosen:
                draft.stop(victim, "evicted")  # 4c.
        for victim in chosen if aged else busy:
            cutoffs[victim] = min(head.rank, cutoffs.get(victim, head.rank))  # 4d.
        if aged or not busy:
            spoken.update(chosen)
            left = free + coming + gain - seat.need
            free, coming = min(free, left), max(left - free, 0)
    return cutoffs


def _choose(draft: Draft, head: Waiting, lack: int, spoken: set[Key]) -> tuple[Key, ...] | None:
    if lack <= 0:
        return ()
    fleet = Fleet(limits=draft.limits, budget=draft.budget, seats=draft.seats)
    return policy.room(fleet, head=head, lack=lack, spared=spoken, now=draft.now)


def _grant(draft: Draft, cutoffs: dict[Key, int]) -> None:
    for key, seat in tuple(draft.seats.items()):
        # 5. in order of arrival
        if seat.waiting and isinstance(seat.state, Ready):
            cutoff = min(cutoffs.get(key, sys.maxsize), seat.leaving_from if seat.leavers else sys.maxsize)
            draft.seats[key] = _granted(draft, key, seat, seat.state, cutoff)
        if draft.seats[key].waiting:
            _refuse_overflow(draft, key)


def _refuse_overflow(draft: Draft, key: Key) -> None:
    seat = draft.seats[key]
    limit = draft.limits.queue if isinstance(seat.state, Ready) else max(draft.limits.queue, 1)
    after = min(max(draft.now - seat.waiting[0].since, 1.0), 60.0)
    live = tuple(waiting for waiting in seat.waiting if not waiting.background)
    others = seat.waiting[len(live) :]
    for waiting in live[limit:] + others[limit:]:
        message = f"The queue for the model `{seat.name}` is full ({limit} requests wait); try again later."
        draft.refuse(key, waiting.request, Overloaded(message, retry_after=after))
    if max(len(live), len(others)) > limit:
        draft.seats[key] = change(seat, waiting=live[:limit] + others[:limit])


def _granted(draft: Draft, key: Key, seat: Seat, state: Ready, cutoff: int) -> Seat:
    running, light, background = set(state.running), set(state.light), set(state.background)
    quiet, eased = draft.now >= state.used + draft.limits.quiet, state.eased
    kept: list[Waiting] = []
    for waiting in seat.waiting:
        behind = bool(kept) and waiting.background and not kept[0].background
        alone = quiet and len(running) + len(light) == len(background)
        full = len(running) >= state.slots
        among = len(running) + len(light) > len(background) or draft.now < state.used + draft.limits.lull
        if waiting.background:
            full = policy.is_crowded(state.slots, len(running), len(running & background), alone=alone)
            full = full or (among and draft.now < eased + draft.limits.spacing)
        if behind or waiting.rank >= cutoff or (not waiting.light and full):
            kept.append(waiting)
            continue
        (light if waiting.light else running).add(waiting.request)
        if waiting.background:
            background.add(waiting.request)
            eased = draft.now if among and not waiting.light else eased
        draft.actions.append(Grant(key=key, request=waiting.request, spawn=state.spawn))
    if len(kept) == len(seat.waiting):
        return seat
    taken = {"running": frozenset(running), "light": frozenset(light), "background": frozenset(background)}
    return change(seat, waiting=tuple(kept), state=change(state, **taken, eased=eased))


def _retire(draft: Draft) -> None:
    for key, seat in tuple(draft.seats.items()):
        # 6. idle workers end
        if isinstance(seat.state, Ready | Starting):
            why = _reason_to_end(draft, seat)
            if why:
                draft.stop(key, why)


def _reason_to_end(draft: Draft, seat: Seat) -> str:
    """Why the worker of a seat ends now; empty when it stays."""
    if not policy.idle_for(seat, seat.leaving_from if seat.leavers else sys.maxsize):
        return ""
    if draft.closing:
        return "closing"
    if seat.leavers:
        return "unloaded"
    if seat.superseded:
        return "superseded"
    end = policy.expires(seat)
    return "idle" if end is not None and draft.now >= end else ""


def _relieve(draft: Draft) -> None:
    """Give memory back that there is no more (6., under pressure)."""
    lack = -(draft.free() + _coming(draft))
    if lack <= 0:
        return
    for key in policy.spare(draft.seats, lack, draft.now):
        draft.stop(key, "pressure")


def _set_alarm(draft: Draft) -> None:
    # 7. the next time at which one of these could change
    times = [time for time in _times(draft) if time > draft.now]
    if times:
        draft.actions.append(Wake(at=min(times)))


def _times(draft: Draft) -> list[float]:
    limits = draft.limits
    times: list[float] = []
    short = any(seat.waiting and _cold(seat) for seat in draft.seats.values())
    for seat in draft.seats.values():
        state = seat.state
        times.extend(leaver.deadline for leaver in seat.leavers)
        if seat.waiting:
            head = seat.waiting[0].since
            times += [] if seat.waiting[0].background else [head + limits.queue_timeout]
            if isinstance(state, Cold):
                times += (head + limits.patience, seat.trouble.not_before)
        if isinstance(state, Resting):
            times.append(state.until)
        if isinstance(state, Ready):
            end = policy.expires(seat)
            times += [] if end is None else [end]
            times += [policy.safe_until(state, limits)] if short else []
            behind = bool(seat.waiting) and seat.waiting[0].background
            times += [state.used + limits.quiet] if short or behind else []
            times += [state.used + limits.lull, state.eased + limits.spacing] if behind else []
    return times


def _coming(draft: Draft) -> int:
    """Bytes of processes that are on their way out."""
    return sum(promised(seat) for seat in draft.seats.values() if isinstance(seat.state, Stopping | Dying))


def _cold(seat: Seat) -> bool:
    return isinstance(seat.state, Cold)


def _by_arrival(item: tuple[Waiting, Key, Seat]) -> int:
    return item[0].rank
