"""The list of models."""

from localai.api.openai.models import capabilities, listing, names, row
from localai.core.caller import LOCAL, Caller
from localai.core.model import Model
from localai.fleet.snapshot import Row
from localai.loader.header import Header
from localai.service.about import About

MODEL = Model(name="m", engine="llama", tasks=("chat", "vision"), aliases=("gpt-4o", "x"), size=9, created=5)
HEADER = Header(architecture="llama", context=2048, parameters=7, vocabulary=3, embedding=2)
ABOUT = About(model=MODEL, header=HEADER, default=512)


def only(*models):
    return Caller(id="k", owner="k", scopes=frozenset({"infer"}), models=models)


def test_a_row_has_what_clients_read():
    """A model tells its context under every name, what its file says, what it takes and gives, and whether it runs."""
    found = row(ABOUT, "m")
    assert (found["id"], found["object"], found["created"], found["owned_by"]) == ("m", "model", 5, "localai")
    assert (found["context_length"], found["max_model_len"]) == (512, 512)
    assert found["meta"] == {"n_ctx_train": 2048, "n_ctx": 512, "n_params": 7, "n_vocab": 3, "n_embd": 2, "size": 9}
    assert found["architecture"] == {"input_modalities": ["text", "image"], "output_modalities": ["text"]}
    assert found["status"] == {"value": "unloaded"}


def test_what_is_not_known_is_left_out():
    """A model without a file has neither figures of one nor a context that nobody knows."""
    found = row(About(model=Model(name="e", engine="echo")), "e")
    assert not {"meta", "context_length", "max_model_len"} & found.keys()


def test_states_in_the_words_of_the_router():
    """What a model does is told in llama.cpp's words, and one that keeps failing as failed."""
    told = {}
    for state in ("waiting", "starting", "ready", "stopping", "resting"):
        about = About(model=MODEL, running=Row(name="m", state=state, context=64))
        told[state] = row(about, "m")["status"]
    assert told == {
        "waiting": {"value": "loading"},
        "starting": {"value": "loading"},
        "ready": {"value": "loaded"},
        "stopping": {"value": "unloaded"},
        "resting": {"value": "unloaded", "failed": True, "exit_code": 1},
    }


def test_aliases_follow_the_models():
    """The list has the models first and then their aliases, each with the model behind it."""
    other = About(model=Model(name="b", engine="echo"))
    rows = listing([ABOUT, other], LOCAL)["data"]
    assert [(each["id"], each["root"]) for each in rows] == [("m", "m"), ("b", "b"), ("gpt-4o", "m"), ("x", "m")]


def test_only_names_that_may_be_used():
    """A key that may use an alias only sees the alias only; one that may use the model sees all its names."""
    assert names(MODEL, only("x")) == ("x",)
    assert names(MODEL, only("m")) == ("m", "gpt-4o", "x")
    assert [each["id"] for each in listing([ABOUT], only("x"))["data"]] == ["x"]


def test_capabilities():
    """What each model can do, takes and gives is told once, under its own name."""
    assert capabilities([ABOUT], LOCAL)["data"] == [
        {
            "id": "m",
            "capabilities": ["chat", "vision"],
            "input_modalities": ["text", "image"],
            "output_modalities": ["text"],
            "context_length": 512,
        }
    ]
