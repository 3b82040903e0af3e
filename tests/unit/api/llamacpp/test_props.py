"""What llama.cpp tells about a model."""

from localai.api.llamacpp.props import properties, slots
from localai.core.model import Model
from localai.core.task import Sampling
from localai.fleet.snapshot import Row
from localai.loader.header import Header
from localai.service.about import About

MODEL = Model(name="m", engine="llama", tasks=("chat", "vision"), parameters=Sampling(temperature=0.0, top_k=5))
HEADER = Header(architecture="llama", context=2048, template="{{ x }}")
RUNNING = Row(name="m", state="ready", context=64, slots=2, busy=1)


def test_a_loaded_model():
    """A loaded model tells the context it was given, its slots, its template, its defaults and its senses."""
    found = properties(About(model=MODEL, header=HEADER, running=RUNNING))
    assert found["default_generation_settings"]["n_ctx"] == 64
    params = found["default_generation_settings"]["params"]
    assert (params["temperature"], params["top_k"]) == (0.0, 5)
    assert (found["total_slots"], found["chat_template"], found["is_sleeping"]) == (2, "{{ x }}", False)
    assert found["modalities"] == {"vision": True, "audio": False}


def test_a_model_that_sleeps():
    """A model that is not loaded tells what it is going to get, and no path of this machine."""
    found = properties(About(model=MODEL, header=HEADER, default=512))
    assert (found["default_generation_settings"]["n_ctx"], found["total_slots"]) == (512, 1)
    assert found["is_sleeping"]
    assert found["model_path"] == "m"


def test_no_model():
    """A server without models is a router with nothing behind it."""
    found = properties(None)
    assert (found["role"], found["total_slots"]) == ("router", 0)


def test_slots():
    """There is an entry for each request that can run, and it says whether one does; none while it is not loaded."""
    found = slots(About(model=MODEL, running=RUNNING))
    assert [(each["id"], each["n_ctx"], each["is_processing"]) for each in found] == [(0, 64, True), (1, 64, False)]
    assert slots(About(model=MODEL)) == []
    assert slots(About(model=MODEL, running=Row(name="m", state="starting", slots=2))) == []
