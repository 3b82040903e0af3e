"""The dialect over real HTTP, before a fake of what performs its tasks."""

import json
import threading
import time

import pytest

from echoing import FakePerform, echo
from localai.api.openai.routes import rows
from localai.core.errors import EngineCrashed, RateLimited
from localai.core.event import Done, Progress, Text, Usage
from localai.core.task import Detokenize
from serving import serving
from sse import Stream, ask

CHAT = "/v1/chat/completions"
TOOL = {"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}


def busy():
    raise RateLimited(retry_after=2)


SCRIPTS = {
    "dies": lambda: (Text(text="half"), EngineCrashed("The process died.")),
    "ends": lambda: (Text(text="half"),),
    "busy": busy,
    "thirds": lambda: (Progress(stage="prefill", done=1, total=3), Text(text="a"), Done(usage=Usage(prompt=3))),
}


@pytest.fixture(scope="module")
def perform():
    plain = [echo(name) for name in SCRIPTS]
    return FakePerform(
        echo(aliases=("parrot",)),
        echo("org/slow", delay=0.01),
        echo("words", tasks=("complete",)),
        *plain,
        scripts=SCRIPTS,
    )


@pytest.fixture(scope="module")
def server(perform):
    with serving(rows(perform)) as running:
        yield running


def stream(server, body):
    return Stream(server.port, server.key, CHAT, body, timeout=30).open()


def test_models_are_listed_with_and_without_the_prefix(server):
    """The list of models is at both paths, and every model of it can be retrieved, also by its alias."""
    for prefix in ("/v1", ""):
        _, _, listing = server.ask("GET", f"{prefix}/models")
        names = [row["id"] for row in listing["data"]]
        assert names[:2] == ["echo", "org/slow"]
        for name in names:
            status, _, row = server.ask("GET", f"{prefix}/models/{name}")
            assert (status, row["id"], row["object"], row["created"]) == (200, name, "model", 1700000000)
    assert server.ask("GET", "/v1/models/parrot")[2]["root"] == "echo"


def test_unknown_models_are_not_found(server):
    """A model that is not there is a 404 `model_not_found` on every route, streamed or not."""
    assert server.ask("GET", "/v1/models/none")[0] == 404
    for body in (ask("hi", "none"), ask("hi", "none", stream=True)):
        status, answer = server.post(CHAT, **body)
        assert (status, answer["error"]["code"], answer["error"]["param"]) == (404, "model_not_found", "model")


def test_a_chat_is_answered_under_the_installed_name(server):
    """The answer names the installed model, whatever alias was asked for, or none."""
    for name in ("parrot", "echo"):
        status, answer = server.post(CHAT, **ask("to be or not", name))
        assert (status, answer["model"]) == (200, "echo")
        assert answer["choices"][0]["message"]["content"] == "to be or not"
    body = ask("hi")
    del body["model"]
    assert server.post(CHAT, **body)[1]["model"] == "echo"


def test_a_stream_is_the_answer_in_pieces(server):
    """The pieces of a stream join to the answer; it ends with usage and [DONE]."""
    body = ask("to be\nor not", stream=True, stream_options={"include_usage": True})
    opened = stream(server, body)
    lines = list(opened.raw())
    assert opened.status == 200
    assert opened.headers["content-type"].startswith("text/event-stream")
    assert lines[-1] == b"[DONE]"
    events = [json.loads(line) for line in lines[:-1]]
    assert "".join(event["choices"][0]["delta"].get("content", "") for event in events[:-1]) == "to be\nor not"
    assert events[-1]["usage"]["total_tokens"] == 8


def test_choices_are_merged(server):
    """Several choices are generated together and come under their own numbers."""
    _, answer = server.post(CHAT, **ask("a b", n=3))
    assert [(c["index"], c["message"]["content"]) for c in answer["choices"]] == [(i, "a b") for i in range(3)]
    texts = {0: "", 1: "", 2: ""}
    for event in stream(server, ask("a b", n=3, stream=True)).events():
        for choice in event["choices"]:
            texts[choice["index"]] += choice["delta"].get("content") or ""
    assert set(texts.values()) == {"a b"}


def test_a_forced_tool_is_called(server):
    """A required tool is called, whole and streamed, new form and old."""
    _, answer = server.post(CHAT, **ask("x", tools=[TOOL], tool_choice="required"))
    assert answer["choices"][0]["message"]["tool_calls"][0]["function"] == {"name": "look", "arguments": "{}"}
    _, answer = server.post(CHAT, **ask("x", functions=[TOOL["function"]], function_call={"name": "look"}))
    assert answer["choices"][0]["message"]["function_call"]["name"] == "look"
    events = list(stream(server, ask("x", tools=[TOOL], tool_choice="required", stream=True)).events())
    assert events[1]["choices"][0]["delta"]["tool_calls"][0]["function"]["name"] == "look"
    assert events[-1]["choices"][0]["finish_reason"] == "tool_calls"


def test_a_stream_that_breaks_ends_with_one_error(server):
    """A failure in the middle is one event with `error`; no [DONE] and no finish reason are made up."""
    for model, code in (("dies", "engine_crashed"), ("ends", "internal_error")):
        lines = list(stream(server, ask("x", model, stream=True)).raw())
        assert json.loads(lines[-1])["error"]["code"] == code
        assert b"[DONE]" not in lines
        assert not any(json.loads(line)["choices"][0]["finish_reason"] for line in lines[:-1])
    status, answer = server.post(CHAT, **ask("x", "dies"))
    assert (status, answer["error"]["code"]) == (502, "engine_crashed")


def test_a_busy_server_says_when_to_come_back(server):
    """A 429 carries Retry-After and x-should-retry, also when a stream was asked for."""
    for streamed in (False, True):
        status, headers, answer = server.ask("POST", CHAT, ask("x", "busy", stream=streamed))
        assert (status, answer["error"]["code"]) == (429, "rate_limit_exceeded")
        assert (headers["retry-after"], headers["x-should-retry"]) == ("2", "true")


def test_a_prompt_that_is_too_long_is_told_by_status(server):
    """A prompt beyond the context is a 400 `context_length_exceeded`, streamed or not."""
    for streamed in (False, True):
        status, answer = server.post(CHAT, **ask("long " * 5000, stream=streamed))
        assert (status, answer["error"]["code"]) == (400, "context_length_exceeded")


def test_progress_is_told_on_request(server):
    """`return_progress` tells how much of the prompt is computed."""
    events = list(stream(server, ask("x", "thirds", stream=True, return_progress=True)).events())
    assert (events[0]["prompt_progress"]["processed"], events[0]["prompt_progress"]["total"]) == (1, 3)


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"messages": {}}, "messages"),
        ({}, "messages"),
        ({"messages": [{"role": "user", "content": None}]}, "messages.0.content"),
        ({"messages": [{"role": "user", "content": [{"type": "text", "text": 5}]}]}, "messages.0.content.0.text"),
        ({**ask("x"), "stop": ""}, "stop"),
        ({**ask("x"), "tool_choice": {"function": {"name": 5}}}, "tool_choice.function.name"),
        ({**ask("x"), "response_format": {"type": "json_schema", "json_schema": {"schema": []}}},
         "response_format.json_schema.schema"),
    ],
)  # fmt: skip
def test_errors_name_the_field(server, body, param):
    """A wrong field is a 400 `invalid_value` in OpenAI's shape that names the field."""
    status, answer = server.post(CHAT, **body)
    assert (status, answer["error"]["param"], answer["error"]["type"]) == (400, param, "invalid_request_error")
    assert answer["error"]["code"] == "invalid_value"


def until(condition):
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        threading.Event().wait(0.005)


@pytest.mark.parametrize("fields", [{"stream": True}, {"stream": True, "n": 2}, {"n": 2}, {}])
def test_leaving_stops_the_engine(server, perform, fields):
    """A client that leaves stops every generation of its request, streamed or not."""
    stopped, asked = perform.stopped, len(perform.asked)
    opened = Stream(server.port, server.key, CHAT, ask("word " * 2000, "org/slow", **fields))
    if fields.get("stream"):
        next(opened.open().raw())
    until(lambda: len(perform.asked) == asked + fields.get("n", 1))
    opened.close(reset=True)
    until(lambda: perform.stopped == stopped + fields.get("n", 1))


def test_keep_alive_is_passed_on(server, perform):
    """The time a model stays loaded can be given with a request."""
    server.post(CHAT, **ask("x", keep_alive="5m"))
    assert perform.keep_alive[-1] == 300.0


def test_completions_of_text_ids_and_gaps(server, perform):
    """The older API continues texts and token ids, echoes them, and fills gaps."""
    status, answer = server.post("/v1/completions", model="words", prompt=["a b", "c"], echo=True)
    assert (status, [choice["text"] for choice in answer["choices"]]) == (200, ["a ba b", "cc"])
    _, answer = server.post("/v1/completions", model="echo", prompt=[7, 8], echo=True, n=2)
    assert [choice["text"] for choice in answer["choices"]] == ["7 87 8", "7 87 8"]
    assert sum(isinstance(task, Detokenize) for task in perform.asked) == 1
    _, answer = server.post("/v1/completions", model="echo", prompt="left ", suffix="right")
    assert answer["choices"][0]["text"] == "left right"
    _, answer = server.post("/v1/completions", prompt="one " * 30)
    assert (answer["usage"]["completion_tokens"], answer["choices"][0]["finish_reason"]) == (16, "length")


def test_completions_stream(server):
    """A streamed completion has its texts in order and ends with [DONE]."""
    body = {"model": "words", "prompt": ["a b", "c"], "stream": True}
    lines = list(Stream(server.port, server.key, "/v1/completions", body, timeout=30).open().raw())
    texts = {0: "", 1: ""}
    for line in lines[:-1]:
        for choice in json.loads(line)["choices"]:
            texts[choice["index"]] += choice["text"]
    assert (texts, lines[-1]) == ({0: "a b", 1: "c"}, b"[DONE]")


def test_a_model_that_cannot_do_it_says_so(server):
    """A model without the capability is a 400 `task_not_supported`."""
    for path, body in ((CHAT, ask("x", "words")), ("/v1/embeddings", {"model": "words", "input": "x"})):
        status, answer = server.post(path, **body)
        assert (status, answer["error"]["code"]) == (400, "task_not_supported")


def test_embeddings(server):
    """Embeddings have as many numbers as asked for, in both encodings."""
    _, answer = server.post("/v1/embeddings", input=["a", "b"], dimensions=4)
    assert [len(row["embedding"]) for row in answer["data"]] == [4, 4]
    _, answer = server.post("/v1/embeddings", input=[[1, 2]], encoding_format="base64")
    assert isinstance(answer["data"][0]["embedding"], str)
    status, answer = server.post("/v1/embeddings", input=[])
    assert (status, answer["error"]["param"]) == (400, "input")


@pytest.mark.parametrize("path", ["/v1/rerank", "/rerank", "/v2/rerank", "/reranking", "/v1/reranking"])
def test_rerank_at_all_its_paths(server, path):
    """Documents are ranked at every path that clients use."""
    body = {"model": "echo", "query": "red fish", "documents": ["blue bird", {"text": "one red fish"}], "top_n": 1}
    status, answer = server.post(path, **body, return_documents=True)
    assert (status, len(answer["results"])) == (200, 1)
    assert answer["results"][0]["index"] == 1
    assert answer["results"][0]["document"] == {"text": "one red fish"}


@pytest.mark.parametrize("prefix", ["", "/v1"])
def test_tokens_and_back(server, prefix):
    """Text becomes token ids and ids become text."""
    _, answer = server.post(f"{prefix}/tokenize", content="ab cde", with_pieces=True)
    assert answer["tokens"] == [{"id": 2, "piece": "ab"}, {"id": 4, "piece": " cde"}]
    assert server.post(f"{prefix}/detokenize", tokens=[2, 4])[1]["content"] == "2 4"


def test_a_key_is_needed(server):
    """Every route of the dialect needs a key."""
    for method, path in (("GET", "/v1/models"), ("POST", CHAT), ("POST", "/v1/embeddings"), ("POST", "/tokenize")):
        status, _, answer = server.ask(method, path, b"{}", {"Authorization": "Bearer wrong"})
        assert (status, answer["error"]["code"]) == (401, "invalid_api_key")


def test_a_missing_content_type_is_no_obstacle(server):
    """A body is read whatever its content type says."""
    for kind in ("", "text/plain", "application/x-www-form-urlencoded"):
        status, _, _ = server.ask("POST", CHAT, ask("x"), {"Content-Type": kind})
        assert status == 200
