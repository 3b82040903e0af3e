"""The dialect over real HTTP, before a fake of what performs its tasks: streams, loading, failures."""

import json

import pytest

from echoing import FakePerform, echo
from localai.api.ollama import answers
from localai.api.ollama.routes import rows
from localai.api.replies import LineStream
from localai.core.errors import (
    ContextLengthExceeded,
    EngineCrashed,
    EngineStalled,
    GenerationTimeout,
    InternalError,
    ModelLoadFailed,
    ModelUnavailable,
    NotEnoughMemory,
    Overloaded,
    RateLimited,
    ShuttingDown,
)
from localai.core.event import Done, Text, Usage
from serving import serving

FAILURES = {
    "full": Overloaded(retry_after=3),
    "busy": RateLimited(retry_after=2),
    "resting": ModelUnavailable(retry_after=30),
    "leaving": ShuttingDown(retry_after=5),
    "large": NotEnoughMemory("It needs 9 GiB and may have 1 GiB."),
    "unloadable": ModelLoadFailed(),
    "long": ContextLengthExceeded("The prompt has 9 tokens; this model takes 5."),
    "crashed": EngineCrashed(),
    "stalled": EngineStalled(),
    "late": GenerationTimeout(),
    "broken": InternalError(),
}
ROUTES = {
    "/api/chat": {"messages": [{"role": "user", "content": "Hi"}]},
    "/api/generate": {"prompt": "Hi"},
    "/api/embed": {"input": "Hi"},
    "/api/embeddings": {"prompt": "Hi"},
}


def raising(error):
    def script():
        raise error

    return script


SCRIPTS = {
    **{name: raising(error) for name, error in FAILURES.items()},
    "dies": lambda: (Text(text="half"), EngineCrashed("The process died.")),
    "ends": lambda: (Text(text="half"),),
    "words": lambda: (Text(text="a"), Text(text=" b"), Done(usage=Usage(prompt=3, completion=2))),
}


@pytest.fixture(scope="module")
def doubled_perform():
    models = [echo(), echo("text", tasks=("complete", "tokenize")), *map(echo, SCRIPTS)]
    return FakePerform(*models, scripts=SCRIPTS)


@pytest.fixture(scope="module")
def doubled_ollama(doubled_perform):
    with serving(rows(doubled_perform, None, None, None)) as running:
        yield running


def lines(text):
    return [json.loads(line) for line in text.splitlines()]


def test_an_answer_is_streamed_unless_it_is_not_wanted(doubled_ollama):
    """Without `stream` the answer is NDJSON; with false it is one object."""
    for route in ("/api/chat", "/api/generate"):
        body = {"model": "words", **ROUTES[route], "raw": True}
        status, headers, text = doubled_ollama.ask("POST", route, body)
        assert (status, headers["content-type"]) == (200, "application/x-ndjson")
        found = lines(text)
        assert [line["done"] for line in found] == [False, False, True]
        status, headers, answer = doubled_ollama.ask("POST", route, {**body, "stream": False})
        assert (status, headers["content-type"], answer["done"]) == (200, "application/json", True)
        said = [line["message"]["content"] if "message" in line else line["response"] for line in (*found, answer)]
        assert said == ["a", " b", "", "a b"]


@pytest.mark.parametrize("name", FAILURES)
@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("stream", [True, False])
def test_a_failure_before_the_answer(doubled_ollama, name, route, stream):
    """What fails before the first word is an error by status, a text and nothing else, with when to try again."""
    error = FAILURES[name]
    body = {"model": name, **ROUTES[route], "stream": stream}
    status, headers, answer = doubled_ollama.ask("POST", route, body)
    assert status == error.status
    assert list(answer) == ["error"]
    assert answer["error"].startswith(error.message)
    assert headers["x-should-retry"] == ("true" if error.retry else "false")
    assert headers["retry-after"] == (str(int(error.retry_after)) if error.retry_after else None)


@pytest.mark.parametrize("name", ["dies", "ends"])
@pytest.mark.parametrize("route", ["/api/chat", "/api/generate"])
def test_a_failure_within_the_answer(doubled_ollama, name, route):
    """What fails after the first word is one last line with the text of the error, and no `done` is made up."""
    status, _, text = doubled_ollama.ask("POST", route, {"model": name, **ROUTES[route]})
    found = lines(text)
    assert status == 200
    assert list(found[-1]) == ["error"]
    assert isinstance(found[-1]["error"], str)
    assert not any(line.get("done") for line in found)
    status, answer = doubled_ollama.post(route, model=name, stream=False, **ROUTES[route])
    assert (status, list(answer)) == (502 if name == "dies" else 500, ["error"])


def test_nothing_to_answer_loads_or_unloads(doubled_ollama, doubled_perform):
    """A request without anything to answer loads the model, for as long and with as much room as it says; 0 unloads."""
    doubled_perform.loads.clear()
    for route in ("/api/chat", "/api/generate"):
        for given in ({}, {"messages": [], "prompt": "", "keep_alive": "5m", "options": {"num_ctx": 4096}}):
            status, answer = doubled_ollama.post(route, model="echo", **given)
            assert (status, answer["done"], answer["done_reason"]) == (200, True, "load")
        assert doubled_ollama.post(route, model="echo", keep_alive=0)[1]["done_reason"] == "unload"
    assert doubled_perform.loads == [("echo", None, None), ("echo", 300, 4096), ("echo", 0, None)] * 2
    doubled_perform.loads.clear()
    assert doubled_ollama.post("/api/embed", model="echo")[1]["embeddings"] == []
    assert doubled_ollama.post("/api/embeddings", model="echo", prompt="")[1] == {"embedding": []}
    assert doubled_perform.loads == [("echo", None, None)] * 2
    for route in ROUTES:
        status, answer = doubled_ollama.post(route, keep_alive=0)
        assert (status, answer) == (400, {"error": "`model` is required."})


def test_models_without_conversations_continue_text(doubled_ollama):
    """A model that only continues text is asked without a template; what needs one is refused."""
    status, answer = doubled_ollama.post("/api/generate", model="text", prompt="a b", stream=False)
    assert (status, answer["response"]) == (200, "a b")
    status, answer = doubled_ollama.post("/api/generate", model="text", prompt="a b", system="Be kind.", stream=False)
    assert status == 400
    assert "chat" in answer["error"]


def test_silences_are_filled(doubled_ollama, monkeypatch):
    """A stream that has nothing to say for long sends a line without words, which every client understands."""

    class Hasty(LineStream):
        def __init__(self, chunks, **given):
            super().__init__(chunks, **given, patience=0.05, silence=0.05)

    slow = FakePerform(echo("slow", delay=0.4))
    monkeypatch.setattr(answers, "LineStream", Hasty)
    with serving(rows(slow, None, None, None)) as running:
        body = {"model": "slow", "messages": [{"role": "user", "content": "a b"}]}
        found = lines(running.ask("POST", "/api/chat", body)[2])
    said = [line["message"]["content"] for line in found]
    assert "".join(said) == "a b"
    assert said.count("") > 1
    assert found[-1]["done"]


def test_a_conversation_goes_on_from_its_ids(doubled_ollama):
    """The `context` of an answer comes back in front of the next prompt."""
    _, first = doubled_ollama.post("/api/generate", model="echo", prompt="Hi", stream=False)
    _, second = doubled_ollama.post("/api/generate", model="echo", prompt="Hi", context=first["context"], stream=False)
    assert second["response"].startswith(" ".join(map(str, first["context"])))
    assert second["context"][: len(first["context"])] == first["context"]
    text = doubled_ollama.ask("POST", "/api/generate", {"model": "echo", "prompt": "Hi"})[2]
    assert lines(text)[-1]["context"] == first["context"]


def test_every_part_of_a_request_keeps_the_model_as_long(doubled_ollama, doubled_perform):
    """Counting tokens before and after the answer changes neither how long the model stays nor how much room it has."""
    given = {"model": "echo", "prompt": "Hi", "context": [1], "stream": False}
    doubled_perform.keep_alive.clear()
    doubled_perform.rooms.clear()
    answer = doubled_ollama.post("/api/generate", **given, keep_alive=-1, options={"num_ctx": 4096})[1]
    assert answer["context"]
    assert len(doubled_perform.rooms) > 3
    assert (set(doubled_perform.keep_alive), set(doubled_perform.rooms)) == ({-1}, {4096})
    doubled_perform.keep_alive.clear()
    answer = doubled_ollama.post("/api/generate", **given, keep_alive=0)[1]
    assert "context" not in answer
    assert doubled_perform.keep_alive[-1] == 0
    assert set(doubled_perform.keep_alive[:-1]) == {None}
