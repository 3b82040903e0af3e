"""The second half of a decision: whose turn it is with a worker, and when to look again (rules 5, 7)."""

import random

import pytest

from histories import Histories
from localai.fleet.action import Action, Grant, Refuse, Wake
from localai.fleet.draft import Draft
from localai.fleet.plan import plan
from localai.fleet.settle import settle
from localai.fleet.state import Fleet, Key, Leaver, Limits, Ready, Resting, Seat, Tick, Trouble
from seating import NOW, asks, draft, ready, seat, starting, stopping
from simulation import World

A = Key("a")


def granted(made: Draft) -> list[int]:
    settle(made)
    return [each.request for each in made.actions if isinstance(each, Grant)]


def refused(made: Draft) -> list[tuple[int, str, float | None]]:
    settle(made)
    return [(each.request, each.code, each.retry_after) for each in made.actions if isinstance(each, Refuse)]


def woken(made: Draft) -> float | None:
    settle(made)
    return next((each.at for each in made.actions if isinstance(each, Wake)), None)


def ready_of(made: Draft) -> Ready:
    state = made.seats[A].state
    assert isinstance(state, Ready)
    return state


def test_as_many_as_there_are_slots():
    """Requests get the free slots in the order of arrival; who is left waits on."""
    made = draft(a=seat(ready(slots=3, running=(1,)), *asks(2, 3, 4)))
    assert granted(made) == [2, 3]
    assert ready_of(made).running == {1, 2, 3}
    assert made.seats[A].waiting == asks(4)


def test_light_requests_pass():
    """A light request is granted behind others that wait for a slot, and takes none."""
    made = draft(a=seat(ready(slots=1, running=(1,)), *asks(2), *asks(3, light=True)))
    assert granted(made) == [3]
    assert (ready_of(made).running, ready_of(made).light) == ({1}, {3})


def test_who_came_after_an_unload():
    """While an unload waits, requests that came after it are not granted."""
    leaver = Leaver(request=3, deadline=NOW + 9.0)
    made = draft(a=seat(ready(slots=9, running=(1,)), *asks(2, 4), leavers=(leaver,), leaving_from=3))
    assert granted(made) == [2]


@pytest.mark.parametrize(("slots", "running", "count"), [(4, (), 3), (4, (1,), 2), (4, (1, 2, 3), 0), (1, (), 1)])
def test_the_background_leaves_a_slot_free(slots: int, running: tuple[int, ...], count: int):
    """Background requests use all slots of a quiet model but the last of several."""
    worker = ready(slots=slots, running=running, background=frozenset(running))
    made = draft(a=seat(worker, *asks(5, 6, 7, 8, 9, background=True)))
    assert len(granted(made)) == count
    assert ready_of(made).background == ready_of(made).running


@pytest.mark.parametrize(
    ("running", "used", "count"), [((), NOW - 29.0, 1), ((), NOW - 30.0, 3), ((1,), 0.0, 1), ((1,), NOW, 1)]
)
def test_the_background_has_one_slot_beside_others(running: tuple[int, ...], used: float, count: int):
    """Where others are, or were within `quiet` seconds, the background has one slot."""
    made = draft(
        limits=Limits(quiet=30.0), a=seat(ready(slots=4, running=running, used=used), *asks(5, 6, 7, background=True))
    )
    assert len(granted(made)) == count


def test_the_background_waits_for_all_others():
    """No background request, not even a light one, is granted while another waits for the model."""
    background = asks(2, background=True) + asks(3, light=True, background=True)
    assert not granted(draft(a=seat(ready(slots=3, running=(7, 8, 9)), *asks(1), *background)))
    assert granted(draft(a=seat(ready(slots=3, running=(7, 8, 9)), *background))) == [3]


def test_a_full_queue():
    """Who overflows the queue is told to come again after about the time that the first in it has waited."""
    for waited, after in ((0.0, 1.0), (20.0, 20.0), (500.0, 60.0)):
        queue = asks(1, 2, 3, 4, since=NOW - waited)
        made = draft(limits=Limits(queue=2), a=seat(ready(running=(9,)), *queue))
        assert refused(made) == [(3, "overloaded", after), (4, "overloaded", after)]
        assert made.seats[A].waiting == queue[:2]


def test_the_background_has_a_queue_of_its_own():
    """Background requests overflow a queue of the same length, and never push another request out."""
    queue = asks(1, 2) + asks(3, 4, 5, background=True)
    made = draft(limits=Limits(queue=2), a=seat(ready(running=(9,)), *queue))
    assert [request for request, _, _ in refused(made)] == [5]
    assert made.seats[A].waiting == queue[:4]


def test_no_queue():
    """With a queue of zero one request may wait for the model to load, and none for a slot."""
    limits = Limits(queue=0)
    assert [each[0] for each in refused(draft(limits=limits, a=seat(starting(), *asks(1, 2))))] == [2]
    assert [each[0] for each in refused(draft(limits=limits, a=seat(ready(running=(9,)), *asks(1))))] == [1]


LEAVER = Leaver(request=1, deadline=NOW + 3.0)
RESTING = Resting(until=NOW + 4.0, code="model_unavailable", message="It rests.")
FAILED = Trouble(failures=1, spawns=(NOW,), not_before=NOW + 2.0)


@pytest.mark.parametrize(
    ("chosen", "at"),
    [
        (seat(ready(running=(9,))), None),
        (seat(ready(since=NOW - 1.0, took=5.0), keep_alive=-1.0), None),
        (seat(ready(idle_since=NOW - 1.0), keep_alive=7.0), NOW + 6.0),
        (seat(ready(running=(9,)), leavers=(LEAVER,), leaving_from=1), NOW + 3.0),
        (seat(RESTING), NOW + 4.0),
        (seat(None, *asks(1), trouble=FAILED), NOW + 2.0),
        (seat(ready(running=(9,)), *asks(1, since=NOW - 1.0)), NOW + 599.0),
        (seat(ready(running=(9,)), *asks(1, background=True)), None),
        (
            seat(ready(slots=3, running=(9,), background=frozenset((9,)), used=NOW - 29.0), *asks(1, background=True)),
            NOW + 1.0,
        ),
        (seat(stopping(90), *asks(1, since=NOW - 1.0), need=20), NOW + 599.0),
    ],
)
def test_alarm(chosen: Seat, at: float | None):
    """Rule 7: the alarm rings when a keep-alive, an unload's patience, a rest, a back-off or a wait is over."""
    assert woken(draft(a=chosen)) == at


def test_alarm_of_who_waits_for_memory():
    """Rule 7: while a model waits for memory, the alarm rings when another may be evicted, and at its own patience."""
    wanted = seat(None, *asks(1), need=60)
    young = ready(60, since=NOW - 1.0, took=5.0)
    assert woken(draft(a=seat(young), b=wanted)) == NOW + 4.0
    assert woken(draft(a=seat(ready(60, running=(9,))), b=wanted)) == NOW + Limits().patience
    background = seat(None, *asks(1, background=True), need=60)
    assert woken(draft(a=seat(ready(60, used=NOW - 29.0)), b=background)) == NOW + 1.0


def test_alarm_is_the_first_of_all():
    """Rule 7: of several times the earliest counts, and none that is over."""
    late, early = seat(ready(idle_since=NOW), keep_alive=9.0), seat(ready(idle_since=NOW), keep_alive=8.0)
    past = seat(ready(running=(9,)), leavers=(LEAVER,), leaving_from=1)
    assert woken(draft(a=late, b=early, c=past, now=NOW + 3.5)) == NOW + 8.0


def settled() -> list[tuple[Fleet, float]]:
    """Fleets as they come about in random histories, with their time."""
    found: list[tuple[Fleet, float]] = []

    class Watched(Histories):
        def _step(self, world: World, chance: random.Random) -> None:
            super()._step(world, chance)
            found.append((world.fleet, world.now))

    for seed in range(40):
        Watched(seed).run(60)
    return found


def ticked(fleet: Fleet, now: float) -> tuple[list[Action], float]:
    """What is done when nothing but time has passed, and when the alarm rings next."""
    _, actions = plan(fleet, Tick(), now)
    alarms = [each.at for each in actions if isinstance(each, Wake)]
    return [each for each in actions if not isinstance(each, Wake)], min(alarms, default=now + 1000.0)


def test_settled_is_at_rest():
    """Once settled, a fleet has nothing left to do, neither at once nor at any time before its alarm rings."""
    chance = random.Random(1)
    for fleet, now in settled():
        nothing, alarm = ticked(fleet, now)
        assert not nothing, fleet
        assert not ticked(fleet, chance.uniform(now, alarm))[0], fleet
