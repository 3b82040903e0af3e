"""The values of the fleet: who comes before whom, who is busy, and what memory a seat takes."""

import pytest

from localai.fleet.state import BEHIND, Cold, Dying, Fleet, Key, Leaver, Resting, State, Waiting, change, promised
from seating import ready, seat, starting, stopping


def test_rank_is_the_order_of_arrival():
    """Requests have their turn by their numbers, and every one in the background after every other."""
    old, young = Waiting(request=1, since=0.0, background=True), Waiting(request=2, since=0.0, background=True)
    live, last = Waiting(request=3, since=0.0), Waiting(request=BEHIND - 1, since=0.0, light=True)
    assert sorted((young, last, old, live), key=lambda waiting: waiting.rank) == [live, last, old, young]


def test_busy_is_whoever_has_a_request():
    """A worker is busy with a request in a slot as with a light one, and idle without either."""
    assert ready(running=(1,)).busy
    assert ready(light=frozenset((1,))).busy
    assert not ready().busy


def test_live_is_whoever_works_not_only_for_the_background():
    """A worker whose requests all came in the background is busy but not live."""
    background = frozenset((1, 2))
    alone = ready(running=(1,), light=frozenset((2,)), background=background)
    assert (alone.busy, alone.live) == (True, False)
    assert ready(running=(1, 3), light=frozenset((2,)), background=background).live
    assert ready(running=(1,), light=frozenset((2, 3)), background=background).live
    assert not ready().live


@pytest.mark.parametrize(
    ("state", "taken"),
    [
        (Cold(), 0),
        (Resting(until=1.0, code="x", message="y"), 0),
        (starting(5), 5),
        (ready(6), 6),
        (stopping(7), 7),
        (Dying(spawn=1, need=8, was=ready(6)), 8),
    ],
)
def test_promised(state: State, taken: int):
    """Memory is promised from the start of a process to its end, and neither before nor after."""
    assert promised(seat(state, need=99)) == taken


def test_values_stay_as_they_are():
    """A change makes another value; the one it was made from cannot be written to."""
    before = seat(starting(), leavers=(Leaver(request=1, deadline=2.0),))
    after = change(before, state=Cold(), leavers=())
    assert isinstance(after.state, Cold)
    assert before.leavers == (Leaver(request=1, deadline=2.0),)
    with pytest.raises(AttributeError):
        setattr(before, "state", Cold())  # noqa: B010 - a plain assignment is what the type checker forbids


def test_fleets_share_nothing():
    """A new fleet has no seats, whatever was put into another one."""
    first = Fleet()
    first.seats[Key("a")] = seat()
    assert not Fleet().seats
