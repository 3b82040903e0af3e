"""What the fleet looks like from outside: what each row promises, made of the fleet as it is at one moment."""

import time
from pathlib import Path

import msgspec
import pytest

from fleets import model
from localai.core.model import Loaded, Memory, Sizing
from localai.fleet.roster import Entry, Roster
from localai.fleet.snapshot import MemoryNow, Row, Shown, Snapshot
from localai.fleet.state import Cold, Dying, Fleet, Key, Resting, Seat, State
from puppet import played
from seating import NOW, asks, ready, seat, starting, stopping

A, B, C = Key("a"), Key("b"), Key("c")


def shown(now: float = NOW, **seats: Seat) -> Snapshot:
    """A snapshot of seats without processes, each of which has an entry."""
    kept = {Key(key): each for key, each in seats.items()}
    sizing = Sizing(context=512, slots=4, threads=2, memory=Memory(weights=7))
    roster = Roster(entries={key: Entry(model=model(), sizing=sizing, crashes=3, last_error="x") for key in kept})
    return roster.snapshot(Fleet(seats=kept, budget=50), now)


@pytest.mark.parametrize(
    ("state", "told"),
    [
        (starting(), "starting"),
        (ready(), "ready"),
        (stopping(), "stopping"),
        (Dying(spawn=1, need=1, was=ready()), "stopping"),
        (Resting(until=200.0, code="x", message="y"), "resting"),
        (Cold(), "waiting"),
    ],
)
def test_state(state: State, told: Shown):
    """Every state has its word; a process that dies is on its way out like one that was told to."""
    (row,) = shown(a=seat(state, *asks(1))).models
    assert row.state == told


def test_who_is_not_shown():
    """A model that is not loaded, wanted or in trouble has no row, nor has one of which nothing is known."""
    assert not shown(a=seat()).models
    assert not Roster().snapshot(Fleet(seats={A: seat(ready())}), NOW).models


def test_before_the_load():
    """Until it is loaded a row tells what the planner grants, and no time of the load."""
    (row,) = shown(a=seat(starting(), *asks(1, 2), need=9, estimate=7)).models
    assert row == Row(
        name="m",
        state="starting",
        estimated=7,
        context=512,
        slots=4,
        threads=2,
        queued=2,
        crashes=3,
        last_error="x",
    )


async def test_loaded(tmp_path: Path):
    """A loaded model's row tells its process, what that really took, and how it is used, as it says itself."""
    async with played(tmp_path) as (worker, _):
        worker.memory, worker.loaded = 33, Loaded(tasks=("chat",), context=256)
        entry = Entry(model=model(), sizing=Sizing(context=512, slots=4), worker=worker, loaded_at=1000.0)
        state = ready(40, slots=3, running=(1, 2), light=frozenset((3,)))
        fleet = Fleet(seats={A: seat(state, *asks(4), estimate=30)}, budget=50)
        after = Roster(entries={A: entry}).snapshot(fleet, NOW)
        assert after.memory == MemoryNow(total=50, reserved=40, used=33)
        (row,) = after.models
        assert (row.pid, row.memory, row.estimated) == (worker.pid, 33, 30)
        assert (row.context, row.slots, row.busy, row.queued) == (256, 3, 3, 1)
        assert row.loaded_at == 1000.0


def test_memory():
    """Reserved is what all processes are promised, those on their way out too."""
    memory = shown(a=seat(ready(5)), b=seat(stopping(6)), c=seat(None, *asks(1), need=70)).memory
    assert memory == MemoryNow(total=50, reserved=11, used=0)


def test_expiry_is_unix_time():
    """An idle worker's end is told in Unix seconds, though the fleet has a clock of its own."""
    before = time.time()
    (row,) = shown(now=NOW, a=seat(ready(idle_since=NOW - 10.0), keep_alive=70.0)).models
    assert row.expires_at is not None
    assert before + 60.0 <= row.expires_at <= time.time() + 60.0


@pytest.mark.parametrize(
    "kept",
    [seat(ready(running=(1,)), keep_alive=9.0), seat(ready(), keep_alive=-1.0), seat(starting(), keep_alive=9.0)],
)
def test_no_expiry(kept: Seat):
    """A worker that is busy, kept for ever or not loaded yet has no end."""
    (row,) = shown(a=kept).models
    assert row.expires_at is None


def test_travels():
    """A snapshot can be written as JSON and read again without a difference."""
    before = shown(a=seat(ready(), keep_alive=9.0), b=seat(starting(), *asks(1)))
    assert len(before.models) == 2
    assert msgspec.json.decode(msgspec.json.encode(before), type=Snapshot) == before
