"""The second half of a decision, rule by rule: who is refused, started, granted and stopped, and when to look again."""

import pytest

from localai.fleet.action import Action, Grant, Refuse, Start, Stop, Wake
from localai.fleet.draft import Draft
from localai.fleet.settle import settle
from localai.fleet.state import Dying, Key, Leaver, Limits, Resting, Seat, State, Trouble
from seating import NOW, asks, draft, ready, seat, starting, stopping

A, B, C = Key("a"), Key("b"), Key("c")
MIB = 2**20
RESTING = Resting(until=NOW + 5.0, code="model_unavailable", message="It rests.")


def done(made: Draft) -> list[Action]:
    """What a decision does, but for the alarm it sets."""
    settle(made)
    return [each for each in made.actions if not isinstance(each, Wake)]


def refused(made: Draft) -> list[tuple[int, str, float | None]]:
    settle(made)
    return [(each.request, each.code, each.retry_after) for each in made.actions if isinstance(each, Refuse)]


def granted(made: Draft) -> list[int]:
    settle(made)
    return [each.request for each in made.actions if isinstance(each, Grant)]


def test_a_rest_ends_at_its_time():
    """Rule 1: before its rest is over a model is refused with the rest of the rest; at that time it starts."""
    resting = seat(RESTING, *asks(1))
    assert done(draft(a=resting, now=NOW + 5.0)) == [Start(key=A, spawn=1)]
    assert refused(draft(a=resting, now=NOW + 4.0)) == [(1, "model_unavailable", 1.0)]


def test_seats_that_say_nothing_are_dropped():
    """A seat without process, requests and troubles is forgotten; one with a recent start is kept."""
    made = draft(a=seat(), b=seat(trouble=Trouble(spawns=(NOW,))))
    assert not done(made)
    assert set(made.seats) == {B}


def test_who_waited_too_long():
    """Rule 2: at the end of `queue_timeout` a request is refused as overloaded; younger ones and background stay."""
    old, young = asks(1, since=NOW - 10.0), asks(2, since=NOW - 9.9)
    made = draft(
        limits=Limits(queue_timeout=10.0), a=seat(starting(), *old, *young, *asks(3, since=0, background=True))
    )
    assert refused(made) == [(1, "overloaded", 10)]
    assert [each.request for each in made.seats[A].waiting] == [2, 3]


def test_an_unload_that_took_too_long():
    """Rule 2: at its deadline an unload is refused once, whatever the versions; another unload goes on waiting."""
    late, other = Leaver(request=1, deadline=NOW), Leaver(request=2, deadline=NOW + 1.0)
    busy = seat(ready(running=(9,)), leavers=(late, other), leaving_from=1)
    made = draft(a=busy, b=busy)
    assert refused(made) == [(1, "conflict", None)]
    assert made.seats[A].leavers == made.seats[B].leavers == (other,)


def test_an_unload_whose_process_ends():
    """Rule 2: an unload whose process has been told to end is not given up at its deadline."""
    assert not done(draft(a=seat(stopping(), leavers=(Leaver(request=1, deadline=0.0),))))


def test_nobody_waits_for_a_server_that_closes():
    """Rule 3: when the server closes everybody who waits is refused, whatever the state of the model."""
    made = draft(closing=True, a=seat(None, *asks(1)), b=seat(ready(), *asks(2)), c=seat(RESTING, *asks(3)))
    assert refused(made) == [(each, "server_shutting_down", None) for each in (1, 2, 3)]


def test_what_could_never_fit():
    """Rule 3: a model larger than all memory is refused with both figures; a process that loads already goes on."""
    made = draft(3 * MIB, a=seat(None, *asks(1), need=4 * MIB), b=seat(starting(), *asks(2), need=4 * MIB))
    assert refused(made) == [(1, "not_enough_memory", None)]
    (refusal,) = [each for each in made.actions if isinstance(each, Refuse)]
    assert "needs 4 MiB" in refusal.message
    assert "there are 3 MiB" in refusal.message


def test_back_off():
    """Rule 4a: a model that failed is not started before its time."""
    failed = seat(None, *asks(1), trouble=Trouble(failures=1, not_before=NOW + 1.0))
    assert not done(draft(a=failed))
    assert done(draft(a=failed, now=NOW + 1.0)) == [Start(key=A, spawn=1)]


def test_the_oldest_starts_first():
    """Rule 4b: free memory goes to the oldest request first, then to whoever fits into what is left."""
    made = draft(10, a=seat(None, *asks(3), need=4), b=seat(None, *asks(2), need=5), c=seat(None, *asks(1), need=6))
    assert done(made) == [Start(key=C, spawn=1), Start(key=A, spawn=2)]


def test_idle_models_make_room():
    """Rule 4c: idle models are stopped for one that is wanted, which starts when their memory is back."""
    made = draft(10, a=seat(ready(8)), b=seat(None, *asks(1), need=5))
    assert done(made) == [Stop(key=A, spawn=1, why="evicted")]
    made.seats[A] = seat()
    assert Start(key=B, spawn=1) in done(made)


def test_memory_on_its_way_is_enough():
    """Rule 4: nobody else is stopped while processes on their way out, told or dying, give back what lacks."""
    dying = Dying(spawn=2, need=3, was=ready(3))
    assert not done(draft(12, a=seat(stopping(3)), b=seat(dying), c=seat(ready(6)), d=seat(None, *asks(1), need=6)))


def test_busy_models_finish_for_who_came_before():
    """Rule 4d: a busy model that must make room is granted what came before who waits for it, and nothing else."""
    made = draft(10, a=seat(ready(8, slots=4, running=(1,)), *asks(2, 4)), b=seat(None, *asks(3), need=5))
    assert done(made) == [Grant(key=A, request=2, spawn=1)]


@pytest.mark.parametrize(("waited", "grants"), [(4.9, [4]), (5.0, [])])
def test_idle_models_beside_busy_ones_serve_on(waited: float, grants: list[int]):
    """Rule 4d: an idle model that goes only together with a busy one serves the young until `patience` is over."""
    busy, idle = seat(ready(5, running=(1,))), seat(ready(5), *asks(4))
    large = seat(None, *asks(3, since=NOW - waited), need=10)
    assert granted(draft(10, limits=Limits(patience=5.0), a=busy, b=idle, c=large)) == grants


@pytest.mark.parametrize(("waited", "passes"), [(4.9, True), (5.0, False)])
def test_memory_is_kept_after_patience(waited: float, passes: bool):
    """Rule 4d: a small young model starts in front of a large one, until that one waited for `patience` seconds."""
    limits = Limits(patience=5.0)
    large = seat(None, *asks(1, since=NOW - waited), need=8)
    made = draft(10, limits=limits, a=seat(ready(6, running=(9,))), b=large, c=seat(None, *asks(2), need=3))
    assert (Start(key=C, spawn=1) in done(made)) is passes


def test_nothing_starts_behind_who_cannot_be_helped():
    """Rule 4e: when an old request's memory cannot be had yet, younger models wait, but only after its patience."""
    limits = Limits(patience=5.0)
    for waited, starts in ((4.9, [Start(key=C, spawn=1)]), (5.0, [])):
        large = seat(None, *asks(1, since=NOW - waited), need=8)
        made = draft(10, limits=limits, a=seat(starting(6), *asks(9)), b=large, c=seat(None, *asks(2), need=3))
        assert done(made) == starts


def test_the_background_starts_nothing_while_another_is_short():
    """Rule 4: nothing starts for the background while a model waits for memory, though it would fit."""
    background = seat(None, *asks(1, background=True), need=2)
    busy, large = seat(ready(7, running=(9,))), seat(None, *asks(2), need=8)
    assert not done(draft(10, a=busy, b=background, c=large))
    assert done(draft(10, a=busy, b=background)) == [Start(key=B, spawn=1)]


@pytest.mark.parametrize(("used", "stops"), [(NOW - 29.0, 0), (NOW - 30.0, 1)])
def test_the_background_evicts_what_nobody_else_uses(used: float, stops: int):
    """Rule 4: for the background a model goes only when nobody else has used it for `quiet` seconds."""
    made = draft(
        10, limits=Limits(quiet=30.0), a=seat(ready(8, used=used)), b=seat(None, *asks(1, background=True), need=5)
    )
    assert len(done(made)) == stops


def test_memory_that_is_spoken_for():
    """Rule 4: memory that comes back for one request is not given to a younger one, which would fit into it."""
    made = draft(10, a=seat(ready(6)), b=seat(None, *asks(1), need=10), c=seat(None, *asks(2), need=3))
    assert done(made) == [Stop(key=A, spawn=1, why="evicted")]


LEAVING = (Leaver(request=5, deadline=NOW + 9.0),)


@pytest.mark.parametrize(
    ("idle", "closing", "why"),
    [
        (seat(ready()), True, "closing"),
        (seat(starting()), True, "closing"),
        (seat(ready(), leavers=LEAVING, leaving_from=5), False, "unloaded"),
        (seat(ready(), superseded=True), False, "superseded"),
        (seat(starting(), superseded=True), False, "superseded"),
        (seat(ready(idle_since=NOW - 7.0), keep_alive=7.0), False, "idle"),
        (seat(ready(idle_since=NOW - 6.9), keep_alive=7.0), False, None),
        (seat(ready()), False, None),
    ],
)
def test_idle_workers_end(idle: Seat, closing: bool, why: str | None):
    """Rule 6: an idle worker ends when the server closes, it is unloaded or superseded, or its keep-alive is over."""
    assert done(draft(closing=closing, a=idle)) == ([Stop(key=A, spawn=1, why=why)] if why else [])


@pytest.mark.parametrize("busy", [ready(running=(1,), idle_since=0.0), ready(light=frozenset((1,)), idle_since=0.0)])
def test_busy_workers_never_end(busy: State):
    """Rule 6: nothing of all this ends a worker with a request, be it a light one."""
    wanted = seat(busy, leavers=LEAVING, leaving_from=5, superseded=True, keep_alive=0.0)
    assert not done(draft(0, closing=True, a=wanted))


def test_unload_waits_for_earlier_requests_only():
    """Rule 6: an unload ends the worker although later requests wait, which the next process serves."""
    leaving = seat(ready(), *asks(6), leavers=LEAVING, leaving_from=5)
    assert done(draft(a=leaving)) == [Stop(key=A, spawn=1, why="unloaded")]
    assert done(draft(a=seat(ready(), *asks(4), leavers=LEAVING, leaving_from=5))) == [Grant(key=A, request=4, spawn=1)]


def test_pressure():
    """Rule 6: with more promised than there is, idle models go that are worth least, and no more than must."""
    slow, quick, busy = seat(ready(4, took=9.0)), seat(ready(4, took=1.0)), seat(ready(4, running=(1,)))
    for budget, keys in ((12, ()), (11, (B,)), (7, (B, A)), (1, (B, A))):
        made = draft(budget, a=slow, b=quick, c=busy)
        assert done(made) == [Stop(key=key, spawn=1, why="pressure") for key in keys]


def test_pressure_counts_what_is_on_its_way():
    """Rule 6: under pressure nothing goes while processes on their way out give back enough."""
    assert not done(draft(5, a=seat(ready(4)), b=seat(stopping(4))))
