"""The plan, one rule at a time, on a clock that the test moves."""

from localai.fleet.state import Closing, Key, Limits, MemoryChanged, Ready, Starting, Stopping
from simulation import GIB, Kind, World


def kind(name: str, *, need: float = 1.0, version: int = 1, **behaviour: object) -> Kind:
    """A model with fixed times: 1 s to load, 2 s for a request."""
    fixed = {"load": (1.0, 1.0), "service": (2.0, 2.0), "slots": 1, "keep_alive": -1.0}
    return Kind(key=Key(f"{name}@{version}"), name=name, need=int(need * GIB), **(fixed | behaviour))  # type: ignore[arg-type]


def world(*kinds: Kind, budget: float = 1.0, **limits: object) -> World:
    return World(1, kinds, int(budget * GIB), Limits(**limits))  # type: ignore[arg-type]


def test_start_then_grant():
    """A request for a cold model starts it and is granted when it can answer."""
    model = kind("a")
    play = world(model)
    request = play.ask(model.key)
    assert isinstance(play.fleet.seats[model.key].state, Starting)
    play.play(1.0)
    assert play.answered == {request: "granted"}


def test_queue_timeout():
    """A request is refused at the very time its wait is over."""
    model = kind("a", service=(100.0, 100.0))
    play = world(model, queue_timeout=10.0)
    play.ask(model.key)
    play.play(2.0)
    late = play.ask(model.key)
    play.play(11.9)
    assert late not in play.answered
    play.play(12.0)
    assert play.answered[late] == "overloaded"


def test_full_queue():
    """The request that overflows the queue is refused, those before it stay."""
    model = kind("a")
    play = world(model, queue=2)
    requests = [play.ask(model.key) for _ in range(3)]
    assert play.answered == {requests[2]: "overloaded"}


def test_no_queue_still_loads():
    """With a queue of zero one request may still wait for its model to load."""
    model = kind("a")
    play = world(model, queue=0)
    request = play.ask(model.key)
    play.play(1.0)
    second = play.ask(model.key)
    assert play.answered == {request: "granted", second: "overloaded"}


def test_light_requests_take_no_slot():
    """A light request is granted though all slots are taken, and keeps the worker from being stopped."""
    model, other = kind("a"), kind("b")
    play = world(model, other)
    play.ask(model.key)
    play.play(2.5)
    light = play.ask(model.key, light=True)
    assert play.answered[light] == "granted"
    play.ask(other.key)
    play.play(4.4)
    assert not play.stops
    play.play(4.5)
    assert [stop.why for stop in play.stops] == ["evicted"]


def test_never_fits():
    """A model larger than all memory is refused at once, with figures."""
    model = kind("a", need=2.0)
    play = world(model)
    assert play.answered == {play.ask(model.key): "not_enough_memory"}


def test_learned_memory():
    """A model that really took more than there is, is refused the next time."""
    model = kind("a", need=0.9, truth=1.5, keep_alive=0.0)
    play = world(model)
    first = play.ask(model.key)
    play.play(10.0)
    second = play.ask(model.key)
    assert play.answered == {first: "granted", second: "not_enough_memory"}


def test_eviction_prefers_the_longest_idle():
    """Of two idle models the one that was idle longer for its reload cost goes, and only as much as is needed."""
    old, young, wanted = kind("a", need=0.5), kind("b", need=0.5), kind("c", need=0.5)
    play = world(old, young, wanted)
    play.ask(old.key)
    play.play(5.0)
    play.ask(young.key)
    play.play(20.0)
    play.ask(wanted.key)
    assert [stop.key for stop in play.stops] == [old.key]


def test_residency():
    """A model just loaded is not evicted before it lived as long as its load took."""
    model, other = kind("a", load=(3.0, 3.0), service=(0.5, 0.5)), kind("b")
    play = world(model, other)
    play.ask(model.key)
    play.play(3.6)
    play.ask(other.key)
    play.play(5.9)
    assert not play.stops
    play.play(6.0)
    assert [stop.key for stop in play.stops] == [model.key]


def test_awaited_start_is_not_evicted():
    """A process that loads while somebody waits for it is left alone, though an older request needs its memory."""
    big, small = kind("big"), kind("small", need=0.5, load=(5.0, 5.0))
    busy = kind("busy", need=0.5, service=(50.0, 50.0))
    play = world(big, small, busy)
    play.ask(busy.key)
    play.play(2.0)
    play.ask(big.key)
    play.ask(small.key)
    assert isinstance(play.fleet.seats[small.key].state, Starting)
    play.play(6.0)
    assert not play.stops


def test_start_nobody_waits_for_gives_way():
    """A process that loads for nobody any more is stopped when another model needs its memory."""
    model, other = kind("a"), kind("b")
    play = world(model, other)
    play.cancel(play.ask(model.key))
    play.ask(other.key)
    assert isinstance(play.fleet.seats[model.key].state, Stopping)


def test_small_model_passes_a_young_big_one():
    """While a big model has not waited long, a small one that fits is started in front of it."""
    busy, big, small = kind("busy", need=0.6, service=(100.0, 100.0)), kind("big", need=0.6), kind("small", need=0.3)
    play = world(busy, big, small, patience=15.0)
    play.ask(busy.key)
    play.play(2.0)
    play.ask(big.key)
    play.ask(small.key)
    assert small.key in play.starts


def test_memory_is_kept_for_who_waited_long():
    """After its patience a big model's memory is not given to a younger small one."""
    busy, big, small = kind("busy", need=0.6, service=(30.0, 30.0)), kind("big", need=0.8), kind("small", need=0.3)
    play = world(busy, big, small, patience=5.0)
    play.ask(busy.key)
    play.play(2.0)
    play.ask(big.key)
    play.play(8.0)
    play.ask(small.key)
    assert small.key not in play.starts
    play.play(200.0)
    assert play.starts[big.key] < play.starts[small.key]


def test_memory_coming_back_is_not_stolen():
    """Memory of a process that ends for one model is not given to a younger request for another."""
    idle, big, small = kind("idle", need=0.6), kind("big", need=0.9), kind("small", need=0.3)
    play = world(idle, big, small)
    play.ask(idle.key)
    play.play(10.0)
    play.ask(big.key)
    play.ask(small.key)
    assert small.key not in play.starts
    play.play(11.0)
    assert big.key in play.starts
    assert small.key not in play.starts


def test_unload_drains():
    """An unload lets earlier requests finish, serves later ones by the next process, and is confirmed between."""
    model = kind("a")
    play = world(model)
    running, queued = play.ask(model.key), play.ask(model.key)
    play.play(1.0)
    unload = play.unload("a", patience=60.0)
    late = play.ask(model.key)
    play.play(4.9)
    assert play.answered == {running: "granted", queued: "granted"}
    assert len(play.starts[model.key]) == 1
    play.play(8.0)
    assert unload in play.confirmed
    assert play.answered[late] == "granted"
    assert len(play.starts[model.key]) == 2


def test_unload_of_a_busy_model_conflicts():
    """An unload that outlasts its deadline is refused and the model serves on."""
    model = kind("a", service=(60.0, 60.0), slots=2)
    play = world(model)
    play.ask(model.key)
    play.play(2.0)
    unload = play.unload("a", patience=5.0)
    late = play.ask(model.key)
    assert late not in play.answered
    play.play(7.0)
    assert unload in play.confirmed
    assert play.answered[late] == "granted"
    assert not play.stops


def test_unload_of_nothing():
    """Unloading a model that is not loaded is done at once."""
    play = world(kind("a"))
    assert play.unload("a") in play.confirmed


def test_unload_forgets_failures():
    """After an unload a resting model is tried again at once."""
    model = kind("a", start_failure=1.0, load=(0.1, 0.1))
    play = world(model)
    play.ask(model.key)
    play.play(5.0)
    assert play.answered[play.ask(model.key)] == "model_unavailable"
    play.unload("a")
    play.ask(model.key)
    assert len(play.starts[model.key]) == 4


def test_hopeless_failure_is_not_tried_again():
    """A model that can never load is started once; all who wait get its error, and so does who asks again."""
    model = kind("a", start_failure=1.0, final=True)
    play = world(model)
    waiting = [play.ask(model.key) for _ in range(3)]
    play.play(1.0)
    late = play.ask(model.key)
    assert {play.answered[request] for request in (*waiting, late)} == {"invalid_model"}
    assert len(play.starts[model.key]) == 1


def test_failed_starts():
    """Who waits through the last failed start gets `model_load_failed`; who comes later `model_unavailable`."""
    model = kind("a", start_failure=1.0, load=(0.1, 0.1))
    play = world(model)
    first = play.ask(model.key)
    play.play(5.0)
    later = play.ask(model.key)
    assert play.answered == {first: "model_load_failed", later: "model_unavailable"}
    assert len(play.starts[model.key]) == 3


def test_new_version_supersedes():
    """A changed model gets a process of its own, and the old one ends as soon as it is idle."""
    old, new = kind("a", need=0.5), kind("a", need=0.5, version=2)
    play = world(old, new)
    running = play.ask(old.key)
    play.play(2.0)
    request = play.ask(new.key)
    play.play(2.9)
    assert not play.stops
    play.play(3.0)
    assert [(stop.key, stop.why) for stop in play.stops] == [(old.key, "superseded")]
    assert play.answered == {running: "granted", request: "granted"}


def test_memory_pressure():
    """When memory shrinks, idle models go until what is promised fits; busy ones stay."""
    idle, busy = kind("a", need=0.5), kind("b", need=0.5, service=(60.0, 60.0))
    play = world(idle, busy)
    play.ask(idle.key)
    play.play(4.0)
    play.ask(busy.key)
    play.play(6.0)
    play.tell(MemoryChanged(budget=GIB // 2))
    assert [(stop.key, stop.why) for stop in play.stops] == [(idle.key, "pressure")]


def test_closing_now():
    """The last step of a shutdown stops busy processes too, and none twice."""
    model, other = kind("a", need=0.5, service=(60.0, 60.0)), kind("b", need=0.5, keep_alive=0.0)
    play = world(model, other)
    play.ask(model.key)
    play.ask(other.key)
    play.play(3.0)
    assert len(play.stops) == 1
    play.tell(Closing())
    play.tell(Closing(now=True))
    assert len(play.stops) == 2


def test_decision_is_pure():
    """The fleet that was given to the plan is not changed by it."""
    model = kind("a")
    play = world(model)
    play.ask(model.key)
    before = play.fleet
    seats = dict(before.seats)
    play.play(1.0)
    assert before.seats == seats
    assert isinstance(play.fleet.seats[model.key].state, Ready)
