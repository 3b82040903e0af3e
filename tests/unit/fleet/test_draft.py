"""A fleet while one decision is made: what each step writes into a seat, and the action it leaves."""

import pytest

from localai.core.errors import Overloaded, ShuttingDown
from localai.fleet.action import Confirm, Refuse, Start, Stop
from localai.fleet.draft import Draft
from localai.fleet.state import Cold, Dying, Fleet, Key, Leaver, Limits, Resting, Starting, State, Stopping, Trouble
from seating import NOW, asks, draft, ready, seat, starting, stopping

A, B = Key("a"), Key("b")


def test_result_is_another_fleet():
    """What is decided is in the result; the fleet it began with keeps its seats and everything else is carried over."""
    fleet = Fleet(limits=Limits(queue=7), budget=9, seats={A: seat(need=3)}, spawns=4, closing=True)
    made = Draft(fleet, NOW)
    made.start(A)
    after, actions = made.result()
    assert actions == (Start(key=A, spawn=5),)
    assert (after.limits, after.budget, after.closing) == (Limits(queue=7), 9, True)
    assert (after.spawns, fleet.spawns) == (5, 4)
    assert fleet.seats == {A: seat(need=3)}


def test_free_is_what_is_promised_to_nobody():
    """Free memory is the budget without what processes hold, on their way out too; negative under pressure."""
    for budget, free in ((10, 5), (4, -1)):
        assert draft(budget, a=seat(ready(3)), b=seat(stopping(2)), c=seat(need=50)).free() == free


def test_start():
    """A start promises the seat's memory from now on to a process with a number of its own."""
    made = draft(a=seat(need=3), b=seat(need=4))
    made.start(A)
    made.start(B)
    assert made.seats[A].state == Starting(spawn=1, since=NOW, need=3)
    assert made.seats[B].state == Starting(spawn=2, since=NOW, need=4)
    assert made.actions == [Start(key=A, spawn=1), Start(key=B, spawn=2)]
    assert made.free() == 93


def test_starts_are_remembered():
    """Of the starts of a model the last `burst` are kept, and its other troubles stay."""
    trouble = Trouble(failures=2, spawns=(1.0, 2.0, 3.0), not_before=5.0)
    made = draft(limits=Limits(burst=3), a=seat(trouble=trouble))
    made.start(A)
    assert made.seats[A].trouble == Trouble(failures=2, spawns=(2.0, 3.0, NOW), not_before=5.0)


@pytest.mark.parametrize(("state", "was_ready"), [(starting(3), False), (ready(3), True)])
def test_stop(state: State, was_ready: bool):
    """A process that is told to end keeps its memory, and it is known whether it had been ready."""
    made = draft(10, a=seat(state, need=99))
    made.stop(A, "idle")
    assert made.seats[A].state == Stopping(spawn=1, since=NOW, need=3, was_ready=was_ready)
    assert made.actions == [Stop(key=A, spawn=1, why="idle")]
    assert made.free() == 7


@pytest.mark.parametrize(
    "state",
    [Cold(), stopping(), Dying(spawn=1, need=1, was=ready()), Resting(until=200.0, code="x", message="y")],
)
def test_stop_of_what_does_not_run(state: State):
    """Nobody is told to end twice, and nobody who has no process or is dying already."""
    made = draft(a=seat(state))
    made.stop(A, "idle")
    assert made.seats[A].state == state
    assert not made.actions


def test_refuse():
    """A refusal says what the error says; who else waits is not concerned."""
    made = draft(a=seat(None, *asks(1, 2)))
    made.refuse(A, 1, Overloaded("Too many.", retry_after=3.0))
    assert made.actions == [Refuse(key=A, request=1, code="overloaded", message="Too many.", retry_after=3.0)]
    assert made.seats[A].waiting == asks(1, 2)


def test_refuse_all():
    """Everybody who waits for the model gets the error, in the order of their turns, and nobody of another model."""
    made = draft(a=seat(None, *asks(1, 3)), b=seat(None, *asks(2)))
    made.refuse_all(A, ShuttingDown())
    assert [(each.request, each.code) for each in made.actions if isinstance(each, Refuse)] == [
        (1, "server_shutting_down"),
        (3, "server_shutting_down"),
    ]
    assert not made.seats[A].waiting
    assert made.seats[B].waiting == asks(2)


def test_confirm_waits_for_every_version():
    """An unload is confirmed only when no version of the model is left that it waits for."""
    leavers = (Leaver(request=1, deadline=200.0), Leaver(request=2, deadline=200.0))
    made = draft(a=seat(stopping()), b=seat(ready(), leavers=leavers[:1]))
    made.confirm(1)
    assert not made.actions
    made.confirm(2)
    assert made.actions == [Confirm(request=2)]
