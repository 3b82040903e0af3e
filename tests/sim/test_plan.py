"""The plan under histories that nobody would write by hand; a failing seed is printed and can be played again."""

import itertools
import random

import pytest

from histories import Histories
from localai.fleet.state import Closing, Key, Limits
from simulation import GIB, Kind, World

SEEDS = 250
EVENTS = 900


@pytest.mark.slow
@pytest.mark.parametrize("part", range(10))
def test_histories(part: int):
    """In any history memory, slots, order, back-off and busy workers are respected and everybody is answered once."""
    events = 0
    for seed in range(part, SEEDS, 10):
        history = Histories(seed)
        try:
            history.run(EVENTS)
        except AssertionError as broken:
            pytest.fail(f"seed {seed}: {broken}")
        events += history.events
    assert events >= SEEDS // 10 * EVENTS


def _kind(name: str, **behaviour: object) -> Kind:
    return Kind(key=Key(f"{name}@1"), name=name, **({"need": GIB} | behaviour))  # type: ignore[arg-type]


def test_race_of_unload_and_request():
    """A request that races an unload or the end of a keep-alive, 10,000 times, is neither lost nor left hanging."""
    kind = _kind("m", keep_alive=1.0, load=(0.1, 0.1), service=(0.2, 0.2))
    world = World(20, [kind], GIB, Limits())
    chance = random.Random(20)
    for round_ in range(10_000):
        world.ask(kind.key)
        world.play(world.now + chance.choice((0.0, 0.1, 0.3, 0.2, 1.2, 1.3, 1.25)))
        if round_ % 2:
            world.unload("m")
        world.play(world.now + chance.choice((0.0, 0.0, 0.1, 0.3)))
    world.play(world.now + 60)
    assert len(world.answered) == 10_000
    assert set(world.answered.values()) == {"granted"}
    assert world.unloads == world.confirmed
    assert not world.alive


@pytest.mark.parametrize("seed", range(20))
def test_three_models_with_room_for_one(seed: int):
    """Three busy models with room for one take turns: the longest wait is at most three swaps."""
    kinds = [_kind(f"m{number}", load=(0.5, 1.0), service=(0.1, 0.5), slots=2) for number in range(3)]
    world = World(seed, kinds, GIB + 1, Limits(patience=0.0))
    owner: dict[int, Kind] = {}

    def again(request: int, answer: str) -> None:
        assert answer == "granted"
        kind = owner.pop(request)
        world.at(world.now + world.random.uniform(0.5, 0.6), lambda: ask(kind))

    def ask(kind: Kind) -> None:
        world.on_answer = lambda number, answer: early.append((number, answer))
        early: list[tuple[int, str]] = []
        request = world.ask(kind.key)
        owner[request] = kind
        world.on_answer = again
        for number, answer in early:
            again(number, answer)

    for kind in kinds:
        for _ in range(2):
            world.at(world.random.random(), lambda kind=kind: ask(kind))
    world.play(600)
    swap = 1.0 + 1.0 + 0.5 + 0.5  # load, residency, the last request, the end of the process
    assert len(world.waits) > 300
    assert max(world.waits) <= 3 * swap
    assert len(world.alive) <= 1


def test_steady_stream_does_not_starve_another_model():
    """A model whose requests never pause gives way to one that waits, however old its queue gets."""
    greedy = _kind("greedy", slots=3, load=(0.1, 0.1), service=(0.5, 0.5))
    other = _kind("other", slots=1, load=(0.1, 0.1), service=(0.5, 0.5))
    world = World(1, [greedy, other], GIB + 1, Limits())
    for number in range(3000):
        world.at(number * 0.15, lambda: world.ask(greedy.key))
    world.at(50.0, lambda: world.ask(other.key))
    world.play(50.0)
    queued = len(world.waiting)
    world.play(50.0 + (queued / 3 + 2) * 0.5 + 1)
    assert any(start > 50.0 for start in world.starts[other.key])


def test_crash_loop_with_polling():
    """A model that dies at every start is started at most five times in the first minute, then once a minute."""
    kind = _kind("bad", start_failure=1.0, load=(0.01, 0.01))
    world = World(5, [kind], GIB, Limits())
    for number in range(6000):
        world.at(number * 0.1, lambda: world.ask(kind.key))
    world.play(600)
    starts = world.starts[kind.key]
    assert len([start for start in starts if start < 60]) <= 5
    assert all(late - early >= 60 for early, late in itertools.pairwise(starts[4:]))
    assert len(starts) <= 5 + 9
    assert len(world.answered) == 6000
    assert sum(answer == "model_unavailable" for answer in world.answered.values()) > 5000


def test_crash_loop_after_loading():
    """A model that loads and then dies at every request is started no more often than one that never loads."""
    kind = _kind("bad", crash=1.0, load=(0.01, 0.01), service=(0.01, 0.01))
    world = World(6, [kind], GIB, Limits())
    for number in range(6000):
        world.at(number * 0.1, lambda: world.ask(kind.key))
    world.play(600)
    starts = world.starts[kind.key]
    assert len([start for start in starts if start < 60]) <= 5
    assert all(late - early >= 60 - 1e-6 for early, late in itertools.pairwise(starts[4:]))


def test_breaker_closes_after_probation():
    """A model that works again serves after its rest, and its failures are forgotten after a minute of life."""
    kind = _kind("bad", start_failure=1.0, load=(0.01, 0.01), keep_alive=-1.0)
    world = World(7, [kind], GIB, Limits())
    world.ask(kind.key)
    world.play(10)
    assert len(world.starts[kind.key]) == 3
    kind.start_failure = 0.0
    refused = world.ask(kind.key)
    assert world.answered[refused] == "model_unavailable"
    world.play(70)
    served = world.ask(kind.key)
    world.play(140)
    assert world.answered[served] == "granted"
    (process,) = world.alive.values()
    world.die(process)
    world.play(141)
    assert kind.key not in world.fleet.seats


def test_herd_for_a_cold_model():
    """Two hundred simultaneous requests for a cold model make exactly one load and are all served."""
    kind = _kind("cold", slots=4)
    world = World(18, [kind], GIB, Limits())
    for _ in range(200):
        world.ask(kind.key)
    world.play(300)
    assert len(world.starts[kind.key]) == 1
    assert list(world.answered.values()) == ["granted"] * 200


def test_closing_ends_everything():
    """A closing server refuses who waits, lets running requests finish, and then has no process left."""
    kind = _kind("m", slots=1, keep_alive=-1.0, load=(0.1, 0.1), service=(5.0, 5.0))
    world = World(24, [kind], GIB, Limits())
    running, waiting = world.ask(kind.key), world.ask(kind.key)
    world.play(1)
    world.tell(Closing())
    late = world.ask(kind.key)
    assert world.answered == {running: "granted", waiting: "server_shutting_down", late: "server_shutting_down"}
    assert not world.stops
    world.play(6)
    assert not world.alive


def test_the_background_gives_way():
    """A live request is granted at once beside any number in the background, and before all that wait."""
    kind = _kind("m", slots=3, load=(0.1, 0.1), service=(5.0, 5.0))
    world = World(25, [kind], GIB, Limits())
    behind = [world.ask(kind.key, background=True) for _ in range(9)]
    world.play(1)
    assert [request for request in behind if request in world.answered] == behind[:2]
    first, second = world.ask(kind.key), world.ask(kind.key)
    assert first in world.answered
    world.play(5.5)
    assert second in world.answered
    assert world.waits == [0.0, pytest.approx(4.1)]
    world.play(60)
    assert set(world.answered.values()) == {"granted"}


def test_the_background_waits_for_as_long_as_it_takes():
    """A background request whose model is in use for an hour is not refused, and runs in the first pause."""
    kind = _kind("m", slots=1, load=(0.1, 0.1), service=(1.0, 1.0))
    world = World(26, [kind], GIB, Limits())
    for number in range(3600):
        world.at(number * 0.99, lambda: world.ask(kind.key))
    behind = world.ask(kind.key, background=True)
    world.play(3500)
    assert behind in world.waiting
    world.play(4200)
    assert world.answered[behind] == "granted"


def test_the_background_begins_seldom_beside_others():
    """While a model is in use the background begins something every `spacing` seconds, and after a lull at once."""
    kind = _kind("m", slots=4, load=(0.1, 0.1), service=(0.5, 0.5))
    world = World(30, [kind], GIB, Limits(lull=2.0, spacing=15.0))
    for number in range(90):
        world.at(number * 1.0, lambda: world.ask(kind.key))
    world.at(5.0, lambda: [world.ask(kind.key, background=True) for _ in range(20)])
    world.play(90)
    begun = [request for request, each in world.answered.items() if each == "granted"]
    assert len(begun) - 90 in {5, 6}
    world.play(110)
    assert not world.waiting


def test_the_background_takes_no_memory_from_those_in_use():
    """A model that is used every few seconds is not evicted for the background, and is soon after its last use."""
    used, other = _kind("used", keep_alive=-1.0), _kind("other")
    world = World(27, [used, other], GIB + 1, Limits())
    for number in range(100):
        world.at(number * 5.0, lambda: world.ask(used.key))
    world.at(1.0, lambda: world.ask(other.key, background=True))
    world.play(490)
    assert not world.stops
    world.play(600)
    assert [stop.why for stop in world.stops][:1] == ["evicted"]
    assert 495 < world.starts[other.key][0] < 540


def test_models_in_the_background_take_turns():
    """Of two models with room for one that only the background wants, neither starves."""
    kinds = [_kind(name, slots=2, load=(0.1, 0.1), service=(0.5, 0.5)) for name in ("a", "b")]
    world = World(28, kinds, GIB + 1, Limits())
    for number in range(200):
        for kind in kinds:
            world.at(number * 1.5, lambda kind=kind: world.ask(kind.key, background=True))
    world.play(290)
    early = [request for request, each in world.waiting.items() if each.since < 200]
    assert not early, f"still waiting: {early}"
    world.play(1000)
    assert list(world.answered.values()) == ["granted"] * 400


def test_a_live_model_comes_before_the_background():
    """A live request for a cold model gets the memory of one that works for the background, and does not wait long."""
    batch, live = _kind("batch", load=(0.1, 0.1), service=(0.5, 0.5)), _kind("live", load=(0.1, 0.1))
    world = World(29, [batch, live], GIB + 1, Limits(patience=0.0))
    for _ in range(500):
        world.ask(batch.key, background=True)
    world.play(20)
    asked = world.ask(live.key)
    world.play(23)
    assert world.answered[asked] == "granted"
