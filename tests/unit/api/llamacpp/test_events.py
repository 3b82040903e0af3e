"""What happens to models, as llama.cpp's router tells it."""

import json

from localai.api.llamacpp.events import Seen, changes, events
from localai.core.caller import LOCAL, Caller
from localai.core.model import Model
from localai.fleet.snapshot import Row
from localai.service.about import About

LOADED = {"value": "loaded"}
UNLOADED = {"value": "unloaded"}
HALF = {"https://x/m.gguf": {"done": 5, "total": 10}}


def test_at_first_everything_is_told():
    """Who begins to listen hears the status of every model and of every installation of theirs."""
    told = changes(Seen({}, {}), Seen({"a": LOADED}, {"job": ("b", "downloading", HALF)}))
    assert told == [
        {"model": "a", "event": "model_status", "data": {"status": "loaded"}},
        {"model": "b", "event": "download_progress", "data": HALF},
    ]


def test_only_changes_are_told():
    """Nothing is said while nothing changes; a change of status is said once, a failure as one."""
    before = Seen({"a": UNLOADED, "b": LOADED}, {})
    assert changes(before, before) == []
    failed = {"value": "unloaded", "failed": True, "exit_code": 1}
    told = changes(before, Seen({"a": failed, "b": LOADED}, {}))
    assert [each["data"] for each in told] == [{"status": "unloaded", "failed": True, "exit_code": 1}]


def test_models_that_come_and_go():
    """A model that is gone is told as removed; a new one as a reload of the list and its status."""
    told = changes(Seen({"a": LOADED}, {}), Seen({"b": UNLOADED}, {}))
    assert told == [
        {"model": "a", "event": "model_remove"},
        {"model": "*", "event": "models_reload"},
        {"model": "b", "event": "model_status", "data": {"status": "unloaded"}},
    ]


def test_the_end_of_a_download():
    """A download ends as finished or as failed."""
    for phase, event in (("installed", "download_finished"), ("failed", "download_failed")):
        told = changes(Seen({}, {"j": ("m", "downloading", HALF)}), Seen({}, {"j": ("m", phase, HALF)}))
        assert [(each["model"], each["event"]) for each in told] == [("m", event)]


class Changing:
    """A Perform whose one model loads between two looks, and an Errands without errands."""

    def __init__(self):
        self.looks = 0

    async def refresh(self):
        self.looks += 1

    def models(self, caller):
        return (Model(name="m", engine="echo"),) if caller.allows("m") else ()

    async def about(self, models):
        running = Row(name="m", state="ready") if self.looks > 1 else None
        return tuple(About(model=model, running=running) for model in models)

    def installations(self, caller):
        return ()


async def told(caller, looks):
    double = Changing()
    stream = events(double, double, caller, lambda: double.looks >= looks, every=0)
    return [json.loads(frame[6:]) async for frames in stream for frame in frames.decode().split("\n\n")[:-1]]


async def test_the_stream_ends_with_the_server():
    """The stream tells what changed between two looks, and ends when the server leaves."""
    assert [each["data"]["status"] for each in await told(LOCAL, 3)] == ["unloaded", "loaded"]


async def test_models_of_others_are_not_told():
    """A key hears of the models it may use only."""
    assert await told(Caller(id="k", owner="k", models=("other",)), 3) == []
