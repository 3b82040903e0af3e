"""What is remembered of models."""

import msgspec

from fleets import model
from localai.core.model import Sizing
from localai.fleet.roster import Roster
from localai.fleet.state import Cold, Fleet, Resting, Seat, Waiting


def test_key():
    """The same definition has the same key whatever its aliases; any other change makes another key."""
    roster = Roster()
    first = roster.key(model())
    assert roster.key(model()) == first
    assert roster.key(msgspec.structs.replace(model(), aliases=("b",))) == first
    assert roster.key(model(slots=2)) != first
    assert Roster().key(model()) == first
    assert first.startswith("a@")


def test_old_entries_are_dropped():
    """Only so many models are remembered that nobody uses; those with a seat always are."""
    roster = Roster()
    keys = [roster.key(model(f"m{number}")) for number in range(600)]
    for number, key in enumerate(keys):
        roster.note(key, model(f"m{number}"), Sizing())
    roster.forget({keys[0]: Seat(name="m0", estimate=0, need=0, keep_alive=0)})
    assert len(roster.entries) == 513
    assert keys[0] in roster.entries
    assert keys[1] not in roster.entries


def test_rows():
    """A seat without a process shows when it waits or rests, and not otherwise."""
    roster = Roster()
    seats = {}
    waiting = (Waiting(request=1, since=0.0),)
    resting = Resting(until=1.0, code="x", message="y")
    for name, state, queue in (("a", Cold(), ()), ("b", Cold(), waiting), ("c", resting, ())):
        key = roster.key(model(name))
        roster.note(key, model(name), Sizing(context=7))
        seats[key] = Seat(name=name, estimate=5, need=5, keep_alive=0, state=state, waiting=queue)
    shown = roster.snapshot(Fleet(seats=seats, budget=9), 0.0)
    assert [(row.name, row.state, row.queued, row.context) for row in shown.models] == [
        ("b", "waiting", 1, 7),
        ("c", "resting", 0, 7),
    ]
    assert (shown.memory.total, shown.memory.reserved) == (9, 0)
