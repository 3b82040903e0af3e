"""The small decisions of the plan."""

from localai.fleet import policy
from localai.fleet.state import Died, Fleet, Key, Limits, Ready, Resting, Seat, Starting, Trouble, Waiting

LIMITS = Limits()


def ready(need: int, *, since: float = 0.0, idle: float = 0.0, took: float = 1.0, busy: bool = False) -> Seat:
    running = frozenset((1,)) if busy else frozenset[int]()
    state = Ready(spawn=1, since=since, need=need, slots=1, took=took, idle_since=idle, running=running)
    return Seat(name="m", estimate=need, need=need, keep_alive=60.0, state=state)


def room(lack: int, **seats: Seat) -> tuple[str, ...] | None:
    fleet = Fleet(seats={Key(name): seat for name, seat in seats.items()})
    return policy.room(fleet, head=Waiting(request=9, since=0), lack=lack, spared=(), now=100.0)


def test_room_takes_the_fewest():
    """A victim that a later, larger one makes unnecessary is spared."""
    assert room(8, small=ready(2, idle=1), large=ready(8, idle=50)) == ("large",)


def test_room_prefers_idle_models():
    """Busy models are chosen only after all idle ones, and nobody when all together are not enough."""
    assert room(4, busy=ready(4, busy=True), idle=ready(4)) == ("idle",)
    assert room(8, busy=ready(4, busy=True), idle=ready(4)) == ("idle", "busy")
    assert room(9, busy=ready(4, busy=True), idle=ready(4)) is None


def test_room_weighs_reload_cost():
    """Of two models idle equally long the one that loads faster goes."""
    assert room(1, slow=ready(4, took=60.0), fast=ready(4, took=0.5)) == ("fast",)


def test_residency_has_a_ceiling():
    """A model is safe for as long as its load took, but not for longer than the limit."""
    assert policy.safe_until(Ready(spawn=1, since=5, need=1, slots=1, took=2, idle_since=5), LIMITS) == 7
    assert policy.safe_until(Ready(spawn=1, since=5, need=1, slots=1, took=900, idle_since=5), LIMITS) == 15


def test_expiry():
    """An idle model expires after its keep-alive; a busy one, or one kept for ever, does not."""
    assert policy.expires(ready(1, idle=10)) == 70
    assert policy.expires(ready(1, busy=True)) is None
    seat = ready(1)
    assert policy.expires(Seat(name="m", estimate=1, need=1, keep_alive=-1, state=seat.state)) is None


def test_long_life_forgets():
    """A death after a minute of life starts a new count; an early one adds to the old."""
    died = Died(key=Key("k"), spawn=1, code="engine_crashed", message="x")
    seat = ready(1)
    troubled = Seat(
        name="m", estimate=1, need=1, keep_alive=0, state=seat.state, trouble=Trouble(spawns=(1, 2, 3, 4, 5))
    )
    assert isinstance(policy.after_death(troubled, died, LIMITS, 59.0).state, Resting)
    assert not policy.after_death(troubled, died, LIMITS, 60.0).trouble.spawns


def test_back_off_doubles():
    """Each failed start in a row doubles the pause before the next."""
    died = Died(key=Key("k"), spawn=1, code="engine_crashed", message="x")
    seat = Seat(name="m", estimate=1, need=1, keep_alive=0, state=Starting(spawn=1, since=0, need=1))
    first = policy.after_death(seat, died, LIMITS, 10.0)
    assert first.trouble.not_before == 10.2
    again = Seat(name="m", estimate=1, need=1, keep_alive=0, state=seat.state, trouble=first.trouble)
    assert policy.after_death(again, died, LIMITS, 20.0).trouble.not_before == 20.4
